"""The handler: what answers the requests of one path, given a request and its id."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request, str], Awaitable[Response]]


def constant(content: bytes, media_type: str) -> Handler:
    """A handler that always answers the same."""

    async def answer(request: Request, request_id: str) -> Response:
        return Response(content, media_type=media_type)

    return answer


def constant_json(value: dict[str, Any]) -> Handler:
    """A handler that always answers the same JSON object."""
    return constant(json.dumps(value).encode(), "application/json")
