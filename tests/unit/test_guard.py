"""What stands before a service, with a service that only notes who came through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from raymill.bearer_token import digest_of
from serving.guard import OPEN, Guard, token_in
from serving.safe_headers import SAFE_HEADERS, add_safe_headers
from serving.tokens import Tokens

TOKENS = Tokens((digest_of(b"one"), digest_of(b"two")))
Receive = Callable[[], Awaitable[dict[str, Any]]]


async def _service(request: Request) -> Response:
    return Response(json.dumps({"body": (await request.body()).decode()}), media_type="application/json")


def _ask(
    guard: Guard, path: str = "/v1/demo/predict", *headers: tuple[str, str], receive: Receive | None = None
) -> tuple[Response, dict[str, Any]]:
    async def whole() -> dict[str, Any]:
        return {"type": "http.request", "body": b"rows", "more_body": False}

    raw = [(name.encode(), value.encode()) for name, value in (("x-request-id", "mine"), *headers)]
    scope = {"type": "http", "method": "POST", "path": path, "headers": raw, "query_string": b""}
    response = asyncio.run(guard.answer(Request(scope, receive or whole)))
    return response, json.loads(response.body)


def _guard(**changes: Any) -> Guard:
    settings: dict[str, Any] = {"route": "/", "deadline_s": 30.0, "admission": TOKENS}
    return Guard(changes.pop("service", _service), **(settings | changes))


@pytest.mark.parametrize("shown", ["Bearer one", "bearer two", "BEARER  one ", "Bearer two"])
def test_who_shows_a_token_may_ask(shown: str) -> None:
    response, answer = _ask(_guard(), "/v1/demo/predict", ("authorization", shown))
    assert (response.status_code, answer) == (200, {"body": "rows"})


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ([], "Bearer"),
        ([("authorization", "Basic b25lOg==")], "Bearer"),
        ([("authorization", "one")], "Bearer"),
        ([("authorization", "Bearer one"), ("authorization", "Bearer one")], "Bearer"),
        ([("authorization", "Bearer three")], 'Bearer error="invalid_token"'),
        ([("authorization", "Bearer")], 'Bearer error="invalid_token"'),
        ([("authorization", "Bearer one,two")], 'Bearer error="invalid_token"'),
        ([("authorization", f"Bearer {digest_of(b'one').hex()}")], 'Bearer error="invalid_token"'),
    ],
)
def test_who_shows_none_or_another_is_told_how_and_nothing_else(headers: list[tuple[str, str]], challenge: str) -> None:
    came: list[Request] = []
    response, answer = _ask(_guard(service=came.append), "/v1/demo/predict", *headers)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, challenge)
    assert response.headers["connection"] == "close"  # what else it sends is not waited for
    assert (answer.keys(), answer["request_id"], came) == ({"error", "request_id"}, "mine", [])
    assert "three" not in response.body.decode()


@pytest.mark.parametrize("path", ["/v1/demo", "/openapi.json", "/nowhere", "/", "", "/v2", "/v2/models/demo"])
def test_every_path_but_health_asks_for_a_token(path: str) -> None:
    assert _ask(_guard(), path)[0].status_code == 401


@pytest.mark.parametrize("path", ["/healthz/", "/healthz/../v1/demo", "/v2/health/../models/demo", "//healthz"])
def test_a_path_that_only_looks_like_health_is_none(path: str) -> None:
    assert _ask(_guard(), path)[0].status_code == 401


@pytest.mark.parametrize("path", sorted(OPEN))
@pytest.mark.parametrize("route", ["/", "/models/demo"])
def test_probes_need_no_token(path: str, route: str) -> None:
    assert _ask(_guard(route=route), route.rstrip("/") + path)[0].status_code == 200


def test_without_tokens_everybody_may_ask() -> None:
    assert _ask(_guard(admission=None))[0].status_code == 200


def test_a_stranger_is_refused_before_a_byte_of_the_body_is_read() -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    assert _ask(_guard(), receive=receive)[0].status_code == 401


def test_work_that_has_not_begun_when_the_deadline_passes_is_dropped_with_504() -> None:
    dropped: list[str] = []

    async def slow(request: Request) -> Response:
        await request.body()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            dropped.append("dropped")
            raise
        return Response()

    response, answer = _ask(_guard(service=slow, deadline_s=0.02, admission=None))
    assert (response.status_code, answer["request_id"], dropped) == (504, "mine", ["dropped"])
    assert answer["error"].startswith("No answer within 0.02 seconds")


@pytest.mark.parametrize("first", [None, b"ro"])
def test_a_body_that_trickles_is_given_up_with_408(first: bytes | None) -> None:
    parts = [first] if first else []

    async def receive() -> dict[str, Any]:
        if not parts:
            await asyncio.sleep(30)
        return {"type": "http.request", "body": parts.pop(), "more_body": True}

    response, answer = _ask(_guard(deadline_s=0.02, admission=None), receive=receive)
    assert (response.status_code, response.headers["connection"]) == (408, "close")
    assert answer["error"].startswith("The body was not here within 0.02 seconds")


def test_an_error_of_the_service_is_not_the_guards_to_hide() -> None:
    async def broken(request: Request) -> Response:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        _ask(_guard(service=broken, admission=None))


@pytest.mark.parametrize("headers", [[], [("authorization", "Bearer one")]])
def test_every_answer_tells_browsers_and_caches_to_do_nothing_with_it(headers: list[tuple[str, str]]) -> None:
    response, _ = _ask(_guard(), "/v1/demo", *headers)
    assert set(SAFE_HEADERS) <= set(response.raw_headers)
    assert len({name for name, _ in response.raw_headers}) == len(response.raw_headers)


def test_a_page_keeps_a_policy_of_its_own_and_headers_are_added_once() -> None:
    page = Response("<html>", media_type="text/html", headers={"content-security-policy": "script-src 'sha256-x'"})
    add_safe_headers(page)
    add_safe_headers(page)
    assert page.headers.getlist("content-security-policy") == ["script-src 'sha256-x'"]
    assert page.headers.getlist("x-content-type-options") == ["nosniff"]


def test_a_token_is_the_one_header_of_that_scheme() -> None:
    assert token_in([(b"authorization", b"Bearer a.b-c_d~+/=")]) == b"a.b-c_d~+/="
    assert token_in([(b"proxy-authorization", b"Bearer a")]) is None
    assert token_in([]) is None
