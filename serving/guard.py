"""The guard: who may ask an endpoint, how long a request may take, and what every answer says about itself.

It stands before a service and knows nothing of models. Health is open, since probes have no token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from serving.deadline import Deadline
from serving.refusal import Refusal
from serving.request_id import request_id_of
from serving.safe_headers import add_safe_headers
from serving.tokens import Admission

OPEN = frozenset({"/healthz", "/v2/health/live", "/v2/health/ready"})
Answer = Callable[[Request], Awaitable[Response]]


class Guard:
    """Lets through what may ask; `route` is where the service is mounted."""

    def __init__(self, answer: Answer, *, route: str, deadline_s: float, admission: Admission | None = None) -> None:
        self._answer, self._admission = answer, admission
        self._prefix, self._deadline_s = route.rstrip("/"), deadline_s

    async def answer(self, request: Request) -> Response:
        """The service's answer, or 401, or when the deadline has passed 408 or 504. Raises nothing of its own."""
        if self._admission is not None and not self._may_ask(request):
            response = _stranger(request).response(request_id_of(request))
        else:
            response = await self._in_time(request)
        add_safe_headers(response)
        return response

    def _may_ask(self, request: Request) -> bool:
        scope = request.scope
        if scope["path"].removeprefix(self._prefix) in OPEN:
            return True
        token = token_in(scope["headers"])
        return token is not None and self._admission is not None and self._admission.admits(token)

    async def _in_time(self, request: Request) -> Response:
        """What has not begun when the deadline passes is dropped; whose time it was, the body tells."""
        body = _Body(request.receive)
        try:
            return await Deadline(self._deadline_s).bounds(self._answer(Request(request.scope, body)))
        except TimeoutError:
            return _late(self._deadline_s, body.is_whole).response(request_id_of(request))


class _Body:
    """A request's body as it comes in."""

    __slots__ = ("_receive", "is_whole")

    def __init__(self, receive: Receive) -> None:
        self._receive, self.is_whole = receive, False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.is_whole = not message.get("more_body", False)
        return message


def token_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The bearer token (RFC 6750, 2.1) of lower-case headers, or None where there is none, or more than one."""
    shown = [value for name, value in headers if name == b"authorization"]
    if len(shown) != 1:
        return None
    scheme, _, token = shown[0].partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None


def _stranger(request: Request) -> Refusal:
    shown = token_in(request.scope["headers"]) is not None
    challenge = 'Bearer error="invalid_token"' if shown else "Bearer"
    said = (
        "This token is not one of those that may ask here."
        if shown
        else "Send a token, as Authorization: Bearer TOKEN."
    )
    return Refusal(401, said, headers={"www-authenticate": challenge, "connection": "close"})


def _late(deadline_s: float, has_body: bool) -> Refusal:
    if has_body:
        return Refusal(504, f"No answer within {deadline_s:g} seconds; send fewer rows, or ask later.")
    said = f"The body was not here within {deadline_s:g} seconds; send fewer rows at a time."
    return Refusal(408, said, headers={"connection": "close"})
