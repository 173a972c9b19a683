"""The Open Inference Protocol v2 over HTTP: its routes for one model, as KServe's and Triton's clients call them.

Source: the protocol's inference_rest.md. What is refused is so with a status of 400, 404 or 413 and an `error`.
"""

from __future__ import annotations

from concurrent.futures import Executor

from starlette.requests import Request
from starlette.responses import Response

from serving.apart import apart
from serving.arguments import EndpointArgs
from serving.body import read_body
from serving.handler import Handler, constant_json
from serving.infer import infer
from serving.model import Model
from serving.scored import Score
from serving.v2_body import V2Body
from serving.v2_metadata import model_metadata, server_metadata


def v2_routes(args: EndpointArgs, model: Model, score: Score, pool: Executor) -> dict[str, tuple[str, Handler]]:
    """The method and handler of each path below the endpoint's route; `pool` is for large bodies."""
    metadata = model_metadata(args.name, args.version, model.predictor.schema, model.predictor.task)
    ready = {"name": args.name, "ready": True}
    routes = {
        "/v2": ("GET", constant_json(server_metadata())),
        "/v2/health/live": ("GET", constant_json({"live": True})),
        "/v2/health/ready": ("GET", constant_json({"ready": True})),
    }
    for path in (f"/v2/models/{args.name}", f"/v2/models/{args.name}/versions/{args.version}"):
        routes[path] = ("GET", constant_json(metadata))
        routes[f"{path}/ready"] = ("GET", constant_json(ready))
        routes[f"{path}/infer"] = ("POST", infer_handler(args.name, model, score, pool))
    return routes


def infer_handler(name: str, model: Model, score: Score, pool: Executor) -> Handler:
    """What answers inferences of a model; it raises Refusal."""

    async def answer(request: Request, request_id: str) -> Response:
        content = await read_body(request)
        body = await apart(pool, len(content), lambda: V2Body(content, request.headers))
        found = await infer(body.request, model.predictor, score, request_id)
        size = max(len(content), found.size)
        text, headers = await apart(pool, size, lambda: body.answer(name, found.version, found.outputs))
        return Response(text, headers=headers)

    return answer
