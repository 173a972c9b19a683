"""Only a request that says that its body is small is left unwatched."""

from __future__ import annotations

import asyncio

import pytest

from serving.apart import MOST_BYTES_INLINE
from serving.readable import Readable
from serving.unwatched import Unwatched, middlewares

HEADER = (b"x-request-disconnect-disabled", b"?1")


@pytest.mark.parametrize(
    ("length", "unwatched"),
    [
        (b"0", True),
        (str(MOST_BYTES_INLINE).encode(), True),
        (str(MOST_BYTES_INLINE + 1).encode(), False),
        (b"-1", False),
    ],
)
def test_a_small_body_is_known_by_its_length(length: bytes, unwatched: bool) -> None:
    assert (HEADER in _passed_on("http", [(b"content-length", length)])) is unwatched


def test_what_says_no_length_is_watched() -> None:
    assert _passed_on("http", []) == []
    assert _passed_on("websocket", [(b"content-length", b"0")]) == [(b"content-length", b"0")]


def test_ray_serve_knows_the_header_and_takes_the_middlewares(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.serve._private import http_util
    from ray.serve.config import HTTPOptions

    assert http_util.parse_disconnect_disabled_header(dict([HEADER]))
    monkeypatch.setattr(http_util, "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "serving.unwatched:middlewares")
    found = http_util.configure_http_middlewares(HTTPOptions()).middlewares
    assert [each.cls for each in found] == [each.cls for each in middlewares()] == [Readable, Unwatched]


def _passed_on(kind: str, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    found: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: dict, receive: object, send: object) -> None:  # type: ignore[type-arg]
        found.append(scope["headers"])

    asyncio.run(Unwatched(app)({"type": kind, "headers": list(headers)}, None, None))  # type: ignore[arg-type]
    return found[0]
