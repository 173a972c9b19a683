"""Predictions for a body that is an Arrow IPC stream: an answer as JSON, or as such a stream where that is accepted."""

from __future__ import annotations

from concurrent.futures import Executor

from starlette.requests import Request
from starlette.responses import Response

from serving.apart import apart
from serving.arrow_body import ARROW, stream_of, table_of_stream
from serving.body import read_body
from serving.handler import Handler
from serving.model import Model
from serving.request_id import as_header
from serving.scored import Score, Scored


def is_arrow(request: Request) -> bool:
    """Whether a request says that its body is an Arrow IPC stream."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == ARROW


def arrow_handler(model: Model, score: Score, pool: Executor) -> Handler:
    """What answers requests that `is_arrow`; it raises Refusal and DataError. `pool` is for large bodies."""
    schema = model.predictor.schema

    async def answer(request: Request, request_id: str) -> Response:
        body = await read_body(request)
        table = await apart(pool, len(body), lambda: table_of_stream(body, schema))
        found = await score(table, request_id)
        as_arrow = ARROW in request.headers.get("accept", "").lower()
        size = max(len(body), found.scores.nbytes)
        return await apart(pool, size, lambda: _response(found, request_id, as_arrow))

    return answer


def _response(found: Scored, request_id: str, as_arrow: bool) -> Response:
    """The model's version and the request's id, which JSON has in it, are in a stream's headers."""
    if not as_arrow:
        return Response(found.version.answer(found.scores, request_id), media_type="application/json")
    stream = stream_of(found.version.model.predictor.task, found.scores)
    headers = {"x-request-id": as_header(request_id), "x-model-version": found.version.label}
    return Response(stream, media_type=ARROW, headers=headers)
