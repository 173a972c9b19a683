"""The request id: by which a caller, an answer and a log speak of the same request."""

from __future__ import annotations

import uuid

from starlette.requests import Request

_MOST_LETTERS = 128


def request_id_of(request: Request) -> str:
    """The caller's own, cut to 128 letters, or one that is made up, another each time that it is asked for.

    It is UTF-8, as in the JSON by which a label names it later, where Starlette reads Latin-1.
    """
    text = request.headers.get("x-request-id", "")
    if not text.isascii():
        text = text.encode("latin-1").decode(errors="replace")
    return text[:_MOST_LETTERS] or uuid.uuid4().hex


def as_header(request_id: str) -> str:
    """An id as a header of an answer, whose bytes are its UTF-8 again where Starlette writes Latin-1."""
    return request_id.encode().decode("latin-1")
