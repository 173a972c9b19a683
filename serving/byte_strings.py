"""Byte strings: texts as the v2 protocol's raw BYTES, each after its length in four little-endian bytes.

It knows bytes and Arrow, no tensor.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

_LENGTH = struct.Struct("<I")


def joined(texts: Iterable[bytes]) -> bytes:
    """The raw BYTES of texts."""
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def split(raw: memoryview, count: int) -> pa.Array:
    """The `count` texts of raw BYTES as strings. Raises ValueError where there are more or fewer, or no UTF-8."""
    ends = _ends(raw, count)
    size = _LENGTH.size
    lengths = np.diff(ends, prepend=0) - size
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    prefixes = (ends - lengths - size)[:, None] + np.arange(size)
    texts = np.delete(np.frombuffer(raw, np.uint8), prefixes.ravel())
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(texts)]
    return pa.Array.from_buffers(pa.binary(), count, buffers).cast(pa.string())


def _ends(raw: memoryview, count: int) -> np.ndarray:
    """Where each text ends. Only its length says where the next one starts, so that they are walked one by one."""
    ends, at, read = [], 0, _LENGTH.unpack_from
    try:
        for _ in range(count):
            at += _LENGTH.size + read(raw, at)[0]
            ends.append(at)
    except struct.error:
        at = -1
    if at != len(raw):
        raise ValueError(f"{len(raw)} bytes are not {count} texts, each after its length in 4 bytes")
    return np.array(ends, np.int64)
