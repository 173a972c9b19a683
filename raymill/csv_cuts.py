"""Where a CSV file may be cut: at the true starts of records, found in one sequential scan of its bytes.

It knows RFC 4180 quoting (a quoted cell may hold newlines and doubled quotes), not columns or types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

_CHUNK_BYTES = 8 << 20
_QUOTE, _NEWLINE, _RETURN = ord('"'), ord("\n"), ord("\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A byte offset at which a record starts, and how many records (the header is one) come before it."""

    byte: int
    records: int


def find_cuts(stream: BinaryIO, size_bytes: int, delimiter: str, every_bytes: int) -> list[Cut]:
    """The first record start at or after every `every_bytes` since the cut before, in file order.

    A quote that opens within an unquoted cell breaks the parity of quotes, by which quoted newlines are known:
    no cut is made after it, and the rest of the file stays whole.
    """
    scan = _Scan(delimiter)
    cuts: list[Cut] = []
    target = every_bytes
    while not scan.lost and (chunk := stream.read(_CHUNK_BYTES)):
        before = scan.records
        starts = scan.record_starts(chunk)
        while (index := int(np.searchsorted(starts, target))) < len(starts):
            byte = int(starts[index])
            if size_bytes - byte <= every_bytes // 4:
                return cuts
            cuts.append(Cut(byte=byte, records=before + index + 1))
            target = byte + every_bytes
    return cuts


class _Scan:
    """The state carried from one chunk of bytes to the next."""

    def __init__(self, delimiter: str) -> None:
        self.records = 0
        self.lost = False
        self._offset = 0
        self._inside = 0
        self._last = _NEWLINE
        self._may_open = np.array([ord(delimiter), _NEWLINE, _RETURN, _QUOTE], dtype=np.uint8)

    def record_starts(self, chunk: bytes) -> np.ndarray:
        """File offsets `(n,) int64` just behind every newline of a chunk that is outside quotes."""
        if self._offset == 0 and chunk.startswith(_BYTE_ORDER_MARK):
            chunk = b"\r" * len(_BYTE_ORDER_MARK) + chunk[len(_BYTE_ORDER_MARK) :]
        content = np.frombuffer(chunk, dtype=np.uint8)
        ends = np.flatnonzero(content == _NEWLINE)
        quotes = np.flatnonzero(content == _QUOTE)
        if len(quotes) or self._inside:
            ends = self._outside(content, ends, quotes)
        starts: np.ndarray = ends + self._offset + 1
        self.records += len(ends)
        self._offset += len(content)
        self._inside = (self._inside + len(quotes)) % 2
        self._last = int(content[-1])
        return starts

    def _outside(self, content: np.ndarray, ends: np.ndarray, quotes: np.ndarray) -> np.ndarray:
        opens = (np.arange(len(quotes)) + self._inside) % 2 == 0
        preceding = np.where(quotes > 0, content[quotes - 1], self._last)
        stray = np.flatnonzero(opens & ~np.isin(preceding, self._may_open))
        if len(stray):
            self.lost = True
            ends = ends[ends < quotes[stray[0]]]
        outside = (np.searchsorted(quotes, ends) + self._inside) % 2 == 0
        kept: np.ndarray = ends[outside]
        return kept
