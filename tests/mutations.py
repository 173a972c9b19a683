"""Mutations: valid requests made wrong in one to four places, each a pure function of a seed.

They know bytes, JSON's text and headers, and no endpoint.
"""

from __future__ import annotations

import gzip
import json
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

_MOST_CHANGES = 4
_WHOLE = (0, 1, -1, 127, -128, 255, 2**15, 2**31 - 1, -(2**31), 2**32 - 1, 2**62, 2**63 - 1, -(2**63))
_CONTENT_TYPES = (
    "",
    "text/plain",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "application/vnd.apache.arrow.stream",
    "multipart/form-data; boundary=x",
    ";;;=",
)
_CODINGS = ("gzip", "br", "deflate, gzip", "identity", "GZIP", "x" * 1000, "")
_LENGTHS = ("0", "-1", "1", "99999999", "9" * 5000, "1e3", " 7", "0x10", "")
_IDS = ("", "x" * 5000, "\x7f", "ÿ", "a b", "'\"<>")
# As JSON text, so that it need not be JSON.
_VALUES = (
    "null",
    "true",
    "0",
    "-1",
    "-0.0",
    "1e999",
    "-1e-999",
    "1" * 300,
    "9" * 4300,
    "9" * 5000,
    "0." + "1" * 3000,
    "NaN",
    "Infinity",
    "-Infinity",
    "01",
    "1.",
    "[]",
    "{}",
    "[[]]",
    "[" * 150 + "]" * 150,
    "[" * 5000,
    '{"a":' * 900 + "1" + "}" * 900,
    '""',
    '"\\ud800"',
    '"\\u0000"',
    '"\\udc00\\ud800"',
    '"\u2028 \U0001f600"',
    '"' + "x" * 20_000 + '"',
    '"2026-02-30"',
    '"9999-12-31T23:59:60+99:99"',
    '"-292277022657-01-27T08:29:52Z"',
    '"1e5"',
    '"nan"',
    "'single'",
    '"unended',
    "[1, null, true, {}, []]",
)
_KEYS = ("", "row", "rows", "inputs", "data", "\u0000", "k" * 20_000, "__proto__", "größe", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A POST as a client sends it; headers by their lower-case names."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def mutated(valid: Sequence[Sent], seed: int) -> Sent:
    """One of the valid requests, changed; the same seed gives the same."""
    rng = random.Random(seed)
    sent = rng.choice(valid)
    if _is_json(sent.body) and rng.random() < 0.5:
        sent = replace(sent, body=_json_changed(sent.body, rng))
    for _ in range(rng.randrange(_MOST_CHANGES)):
        sent = replace(sent, body=rng.choice(_BYTES)(sent.body, rng))
    if rng.random() < 0.3:
        sent = rng.choice(_HEADERS)(sent, rng)
    return sent


def _is_json(body: bytes) -> bool:
    return body.startswith(b"{") and body.endswith(b"}")


def _json_changed(body: bytes, rng: random.Random) -> bytes:
    """Some of the values and keys replaced, given twice or taken away."""
    marks: list[tuple[str, str]] = []

    def changed(value: Any) -> Any:
        if rng.random() < 0.08:
            marks.append((f"@{len(marks)}@", rng.choice(_VALUES)))
            return marks[-1][0]
        if isinstance(value, dict):
            return {_key(key): changed(cell) for key, cell in value.items() if rng.random() > 0.02}
        if isinstance(value, list):
            return [changed(cell) for cell in value for _ in range(rng.choice((1,) * 30 + (0, 2)))]
        return value

    def _key(key: str) -> str:
        chance = rng.random()
        if chance < 0.02:
            marks.append((f"@{len(marks)}@", json.dumps(rng.choice(_KEYS))))
            return marks[-1][0]
        if chance < 0.04:  # there twice
            marks.append((f"@{len(marks)}@", f"{json.dumps(key)}: 1, {json.dumps(key)}"))
            return marks[-1][0]
        return key

    text = json.dumps(changed(json.loads(body)), ensure_ascii=rng.random() < 0.5)
    for mark, value in marks:
        text = text.replace(f'"{mark}"', value, 1)
    return text.encode(rng.choice(("utf-8",) * 9 + ("utf-16", "utf-32", "utf-8-sig")), "surrogatepass")


def _place(body: bytes, rng: random.Random, width: int = 1) -> int:
    return rng.randrange(max(1, len(body) - width + 1))


def _flipped(body: bytes, rng: random.Random) -> bytes:
    if not body:
        return body
    at = _place(body, rng)
    return body[:at] + bytes([body[at] ^ 1 << rng.randrange(8)]) + body[at + 1 :]


def _cut(body: bytes, rng: random.Random) -> bytes:
    return body[: _place(body, rng)]


def _without(body: bytes, rng: random.Random) -> bytes:
    at = _place(body, rng)
    return body[:at] + body[at + rng.choice((1, 4, 8, 100)) :]


def _repeated(body: bytes, rng: random.Random) -> bytes:
    start = _place(body, rng)
    piece = body[start : start + rng.choice((1, 4, 16, 64, len(body)))]
    return body[:start] + piece * rng.choice((2, 3, 50)) + body[start:]


def _inserted(body: bytes, rng: random.Random) -> bytes:
    at = _place(body, rng)
    return body[:at] + rng.choice((b"\x00", b"\xff" * 8, b'"', b"}", b"[", b",", b"\\", rng.randbytes(8))) + body[at:]


def _overwritten(body: bytes, rng: random.Random) -> bytes:
    """A little-endian whole number, as Arrow and raw tensors hold their sizes, where one may lie."""
    form, width = rng.choice((("<q", 8), ("<i", 4), ("<h", 2)))
    at = _place(body, rng, width) // width * width
    bits = 8 * width
    value = (rng.choice(_WHOLE) + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
    return body[:at] + struct.pack(form, value) + body[at + width :]


def _with_header(name: str, values: Sequence[str]) -> Callable[[Sent, random.Random], Sent]:
    def changed(sent: Sent, rng: random.Random) -> Sent:
        return replace(sent, headers=sent.headers | {name: rng.choice(values)})

    return changed


def _zipped(sent: Sent, rng: random.Random) -> Sent:
    return replace(sent, body=gzip.compress(sent.body, 1), headers=sent.headers | {"content-encoding": "gzip"})


_BYTES = (_flipped, _flipped, _cut, _without, _repeated, _inserted, _overwritten, _overwritten)
_HEADERS = (
    _with_header("content-type", _CONTENT_TYPES),
    _with_header("content-encoding", _CODINGS),
    _with_header("inference-header-content-length", _LENGTHS),
    _with_header("content-length", _LENGTHS),
    _with_header("x-request-id", _IDS),
    _with_header("accept", ("application/vnd.apache.arrow.stream", "image/png", "*/*;q=x")),
    _zipped,
)
