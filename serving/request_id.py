"""The request id: by which a caller, an answer and a log speak of the same request."""

from __future__ import annotations

import uuid

from starlette.requests import Request

_MOST_LETTERS = 128


def request_id_of(request: Request) -> str:
    """The caller's own, cut to 128 letters, or one that is made up, another each time that it is asked for."""
    return request.headers.get("x-request-id", "")[:_MOST_LETTERS] or uuid.uuid4().hex
