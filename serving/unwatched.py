"""Unwatched: small requests, during which nobody looks whether their clients are still there.

Ray ends a request whose client leaves: it runs each as one task and the watch as another, an eighth of what a small
request costs, and that is answered before its client could go. A header of Ray's own spares a request the watch.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.apart import MOST_BYTES_INLINE
from serving.readable import Readable

_UNWATCHED = (b"x-request-disconnect-disabled", b"?1")
_LENGTH = b"content-length"


class Unwatched:
    """Adds the header where a request says that its body is small: one with none yet may take its time to come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _is_small(scope["headers"]):
            scope["headers"].append(_UNWATCHED)
        await self._app(scope, receive, send)


def _is_small(headers: list[tuple[bytes, bytes]]) -> bool:
    length = next((value for name, value in headers if name == _LENGTH), b"")
    return length.isdigit() and int(length) <= MOST_BYTES_INLINE


def middlewares() -> list[Middleware]:
    """What Ray Serve puts before its own handling; `cluster.ray_settings` names this function by string."""
    return [Middleware(Readable), Middleware(Unwatched)]
