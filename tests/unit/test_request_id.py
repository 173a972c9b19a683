"""A request's id is the text that its caller sent, as a label names it later."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response

from serving.request_id import as_header, request_id_of


def _of(value: bytes) -> str:
    return request_id_of(Request({"type": "http", "headers": [(b"x-request-id", value)]}))


@pytest.mark.parametrize("text", ["4f1c", "bestellung-ü", "注文", "a" * 128])
def test_an_id_is_utf8(text: str) -> None:
    assert _of(text.encode()) == text


def test_a_long_one_is_cut_and_bytes_that_are_no_utf8_raise_nothing() -> None:
    assert _of(b"a" * 200) == "a" * 128
    assert _of("ü".encode() * 200) == "ü" * 128
    assert len(_of(b"\xff\xfe")) == 2


def test_one_that_is_not_there_is_made_up() -> None:
    assert len(_of(b"")) == 32 and _of(b"") != _of(b"")


@pytest.mark.parametrize("text", ["4f1c", "bestellung-ü", "注文"])
def test_an_answers_header_has_the_bytes_that_the_caller_sent(text: str) -> None:
    assert Response(headers={"x-request-id": as_header(text)}).headers.raw[0] == (b"x-request-id", text.encode())
