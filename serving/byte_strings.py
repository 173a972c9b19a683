"""Byte strings: texts as the v2 protocol's raw BYTES, each after its length in four little-endian bytes.

It knows bytes and Arrow, no tensor.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pyarrow as pa

_LENGTH = struct.Struct("<I")


def joined(texts: Iterable[bytes]) -> bytes:
    """The raw BYTES of texts."""
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def split(raw: bytes, count: int) -> pa.Array:
    """The `count` texts of raw BYTES as strings. Raises ValueError where there are more or fewer, or no UTF-8.

    Only the length of a text says where the next one starts, so that they are walked one by one.
    """
    texts, end, read = [], 0, _LENGTH.unpack_from
    try:
        for _ in range(count):
            start = end + _LENGTH.size
            end = start + read(raw, end)[0]
            texts.append(raw[start:end])
    except struct.error:
        end = -1
    if end != len(raw):
        raise ValueError(f"{len(raw)} bytes are not {count} texts, each after its length in 4 bytes")
    return pa.array(texts, pa.string())
