"""An Arrow IPC message, as far as its size goes: to how many bytes its buffers say that they decompress.

Arrow allocates what a compressed buffer claims before it decompresses it, and has no limit for it, so that claims are
read before Arrow does. Sources: Arrow's format/Message.fbs and Columnar.rst, "IPC Streaming Format"; FlatBuffers'
internals for where a table's fields lie.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEADER_TYPE, _HEADER = 1, 2
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_DICTIONARY_DATA = 1
_BUFFERS, _COMPRESSION = 2, 3
# How Arrow 0.17 marked compression, which Arrow still reads.
_LEGACY = b"ARROW:experimental_compression"
_BUFFER_STRUCT = struct.Struct("<qq")
_LENGTH = struct.Struct("<q")


def claimed_bytes(metadata: memoryview, body: memoryview) -> int:
    """Bytes of a message's buffers once they are decompressed. Raises ValueError for metadata that is none."""
    if _LEGACY in bytes(metadata):
        raise ValueError("it is compressed as Arrow 0.17 did")
    try:
        batch = _batch(metadata)
        if batch is None or batch.offset(_COMPRESSION) is None:
            return len(body)
        return sum(_claimed(body, start, length) for start, length in batch.structs(_BUFFERS, _BUFFER_STRUCT))
    except struct.error as error:
        raise ValueError("a message's metadata points outside of it") from error


def _batch(metadata: memoryview) -> _Table | None:
    """The RecordBatch that a message holds, of a dictionary too; None in a message of another type."""
    message = _Table(metadata, 0)
    where = message.offset(_HEADER_TYPE)
    header_type = None if where is None else metadata[where]
    if header_type == _RECORD_BATCH:
        return message.table(_HEADER)
    return message.table(_HEADER).table(_DICTIONARY_DATA) if header_type == _DICTIONARY_BATCH else None


def _claimed(body: memoryview, start: int, length: int) -> int:
    """A compressed buffer begins with its length without compression, or -1 where it has none."""
    if length == 0:
        return 0
    claimed: int = _LENGTH.unpack(body[start : start + _LENGTH.size])[0]
    if claimed < -1:
        raise ValueError("a buffer claims a negative length")
    return length if claimed == -1 else claimed


class _Table:
    """A FlatBuffers table: where the fields lie that it has, by their number."""

    def __init__(self, data: memoryview, reference: int) -> None:
        self._data = data
        self._position = reference + self._number("<I", reference)
        self._vtable = self._position - self._number("<i", self._position)

    def offset(self, field: int) -> int | None:
        """None where the table has no such field."""
        entry = 4 + 2 * field
        if entry >= self._number("<H", self._vtable):
            return None
        found = self._number("<H", self._vtable + entry)
        return self._position + found if found else None

    def table(self, field: int) -> _Table:
        return _Table(self._data, self._needed(field))

    def structs(self, field: int, each: struct.Struct) -> Iterator[tuple[int, ...]]:
        reference = self._needed(field)
        start = reference + self._number("<I", reference)
        count = self._number("<I", start)
        return each.iter_unpack(self._data[start + 4 : start + 4 + count * each.size])

    def _needed(self, field: int) -> int:
        found = self.offset(field)
        if found is None:
            raise ValueError("a message's metadata lacks a part")
        return found

    def _number(self, form: str, position: int) -> int:
        if position < 0:  # which would be counted from the end
            raise struct.error
        number: int = struct.unpack_from(form, self._data, position)[0]
        return number
