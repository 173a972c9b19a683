"""Whatever bytes a header has, Ray can decode them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serving.readable import Readable

NAMES = (b"x-request-id", b"x-request-timeout-seconds", b"x-session-id", b"serve-multiplexed-model-id")


@pytest.mark.parametrize("name", NAMES)
def test_bytes_that_are_no_utf8_are_the_latin1_that_starlette_takes_them_for(name: bytes) -> None:
    assert _passed_on([(name, b"\xff\xfe"), (b"host", b"x")]) == [(name, "ÿþ".encode()), (b"host", b"x")]


@pytest.mark.parametrize("value", [b"", b"4f1c", "ü".encode()])
def test_what_is_utf8_is_left_as_it_is(value: bytes) -> None:
    assert _passed_on([(b"x-request-id", value), (b"x", b"\xff")])[0] == (b"x-request-id", value)


def test_a_scope_without_headers_is_passed_on() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    asyncio.run(Readable(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]


def _passed_on(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    found: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(scope["headers"])

    asyncio.run(Readable(app)({"type": "http", "headers": list(headers)}, None, None))  # type: ignore[arg-type]
    return found[0]
