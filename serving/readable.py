"""Readable: header values that Ray can decode, whatever bytes a client has sent.

Ray decodes some as UTF-8 (a request's id, its time, a session's and a model's name) before anybody is asked who may
ask, and answers 500 where that fails. HTTP leaves such bytes open (RFC 9110, 5.5); Starlette takes them for Latin-1.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class Readable:
    """Passes on values that are no UTF-8 as the UTF-8 of the Latin-1 that they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope.get("headers", ())
        if not b"".join([value for _, value in headers]).isascii():
            scope["headers"] = [(name, _readable(value)) for name, value in headers]
        await self._app(scope, receive, send)


def _readable(value: bytes) -> bytes:
    try:
        value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1").encode()
    return value
