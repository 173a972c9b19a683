"""The service: an HTTP request to one model's endpoint in, an answer out.

It knows routes, statuses and request ids; Ray Serve starts it, and scoring is the model's.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from raymill.errors import DataError
from raymill.schema import RowsError
from serving.arguments import EndpointArgs
from serving.body import read_body, rows_of
from serving.guarded_document import guarded
from serving.model import Model
from serving.openapi import openapi
from serving.refusal import Refusal
from serving.request_id import request_id_of
from serving.version import Version

logger = logging.getLogger("ray.serve")
# A larger body is read and scored beside the event loop, which goes on answering: it may take a second.
_MOST_BYTES_INLINE = 128 << 10
Handler = Callable[[Request, str], Awaitable[Response]]


class Service:
    """Answers `POST /v1/NAME/predict`, `GET /v1/NAME`, `GET /healthz` and `GET /openapi.json` below its route."""

    def __init__(self, args: EndpointArgs, model: Model) -> None:
        self._stable = Version(args.name, args.version, model, args.max_batch_size)
        self._apart = ThreadPoolExecutor(1, "large-bodies")
        self._prefix = args.route.rstrip("/")
        open_document = openapi(args.name, args.version, args.route, model.predictor.schema, model.predictor.task)
        document = guarded(open_document, takes_tokens=args.tokens is not None)
        health = {"status": "ok", "name": args.name, "version": args.version, "id": args.endpoint_id}
        self._routes: dict[str, tuple[str, Handler]] = {
            f"/v1/{args.name}/predict": ("POST", self._predict),
            f"/v1/{args.name}": ("GET", _constant(_card(args, model))),
            "/healthz": ("GET", _constant(health)),
            "/openapi.json": ("GET", _constant(document)),
        }

    def warm_up(self) -> None:
        self._stable.warm_up()

    async def answer(self, request: Request) -> Response:
        """The answer to any request; nothing is raised, and what is our fault shows its request id only."""
        request_id = request_id_of(request)
        try:
            return await self._handler(request)(request, request_id)
        except Refusal as refusal:
            return refusal.response(request_id)
        except RowsError as error:
            return _answer(422, {"error": f"{error.what} {error.fix}", "errors": error.problems}, request_id)
        except DataError as error:
            return _answer(422, {"error": f"{error.what} {error.fix}"}, request_id)
        except Exception:
            logger.exception("request %s failed", request_id)
            return _answer(500, {"error": "This is our fault; the log names it by the request id."}, request_id)

    def _handler(self, request: Request) -> Handler:
        path = request.scope["path"].removeprefix(self._prefix)
        method, handler = self._routes.get(path, ("", None))
        if handler is None:
            raise Refusal(404, f"There is no {path or '/'} here; there are {self._known()}.")
        if request.method != method:
            raise Refusal(405, f"{path} takes {method}; there are {self._known()}.", headers={"allow": method})
        return handler

    def _known(self) -> str:
        return ", ".join(f"{method} {self._prefix}{path}" for path, (method, _) in self._routes.items())

    async def _predict(self, request: Request, request_id: str) -> Response:
        body, version = await read_body(request), self._stable
        if len(body) > _MOST_BYTES_INLINE:
            loop = asyncio.get_running_loop()
            text = await loop.run_in_executor(self._apart, _answer_apart, version, body, request_id)
        else:
            text = version.answer(await version.score(rows_of(body)), request_id)
        return Response(text, media_type="application/json")


def _answer_apart(version: Version, body: bytes, request_id: str) -> str:
    return version.answer(version.score_apart(rows_of(body)), request_id)


def _card(args: EndpointArgs, model: Model) -> dict[str, Any]:
    task = model.predictor.task
    return {
        "name": args.name,
        "version": args.version,
        "digest": model.predictor.digest,
        "task": {"type": task.kind, "target": task.target}
        | ({} if task.at_least is None else {"at_least": task.at_least}),
        "classes": list(task.classes),
        "input": model.predictor.schema.json_schema(),
        "lineage": model.lineage | {"run_id": args.run_id or model.lineage.get("run_id")},
    }


def _constant(value: dict[str, Any]) -> Handler:
    body = json.dumps(value).encode()

    async def answer(request: Request, request_id: str) -> Response:
        return Response(body, media_type="application/json")

    return answer


def _answer(status: int, value: dict[str, Any], request_id: str) -> Response:
    return Response(json.dumps(value | {"request_id": request_id}), status, media_type="application/json")
