"""The datatypes of the v2 protocol: what a tensor's cells may be, as values of JSON or protobuf and as raw bytes.

| datatype | values | raw cells |
|---|---|---|
| BOOL | true, false, null | one byte, 0 is false |
| INT8 to INT64, UINT8 to UINT64 | integers in range, null | little-endian |
| FP32, FP64 | numbers, null | little-endian, NaN is missing |
| BYTES | strings, UTF-8 bytes, null | UTF-8, each after its length in four bytes |

The protocol has no null: it is taken as a missing cell. What is missing in BYTES is an empty text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from serving.body import kind_of
from serving.byte_strings import split

_NONE = type(None)
_MOST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Datatype:
    """One datatype; `width` is the bytes of a raw cell, None where they differ."""

    name: str
    arrow: pa.DataType
    takes: frozenset[type]
    width: int | None

    def of_cells(self, cells: Sequence[Any]) -> pa.Array:
        """Cells as Python values. Raises ValueError for one that is none of this datatype."""
        if not self.takes.issuperset(map(type, cells)):
            raise ValueError(f"{_shown(next(c for c in cells if type(c) not in self.takes))} is no {self.name}")
        try:
            return self._array(cells)
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError) as error:
            raise ValueError(f"a cell is no {self.name}: {error}") from error

    def _array(self, cells: Sequence[Any]) -> pa.Array:
        try:
            return pa.array(cells, self.arrow)
        except pa.ArrowInvalid:
            if not pa.types.is_floating(self.arrow):
                raise
        # Whole numbers that a float doesn't hold exactly: Arrow refuses them, and JSON has no other way to write them.
        with np.errstate(over="ignore"):
            return pa.array(np.array(cells, np.float64).astype(self.arrow.to_pandas_dtype()))

    def of_raw(self, raw: memoryview, count: int) -> pa.Array:
        """`count` raw cells. Raises ValueError where the bytes are more, fewer or no cells."""
        if self.width is None:
            return split(bytes(raw), count)
        if len(raw) != count * self.width:
            raise ValueError(f"{count} cells of {self.name} are {count * self.width} bytes, not {len(raw)}")
        if pa.types.is_boolean(self.arrow):
            return pa.array(np.frombuffer(raw, np.uint8) != 0)
        # Arrow's own layout; a copy, because cells may lie anywhere in a body and Arrow wants them aligned.
        return pa.Array.from_buffers(self.arrow, count, [None, pa.py_buffer(bytes(raw))])


def datatype(name: str) -> Datatype:
    """The datatype of a name. Raises ValueError for one that isn't served."""
    if name not in DATATYPES:
        raise ValueError(f"the datatype {_shown(name)} is none of {', '.join(DATATYPES)}")
    return DATATYPES[name]


def _shown(value: object) -> str:
    """Of a value that holds others its kind only: it may be as deep as it was just possible to read."""
    text = kind_of(value) if isinstance(value, list | dict) else repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


_NUMBERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
DATATYPES = {
    "BOOL": Datatype("BOOL", pa.bool_(), frozenset({bool, _NONE}), 1),
    **{str(t).upper(): Datatype(str(t).upper(), t, frozenset({int, _NONE}), t.bit_width // 8) for t in _NUMBERS},
    "FP32": Datatype("FP32", pa.float32(), frozenset({int, float, _NONE}), 4),
    "FP64": Datatype("FP64", pa.float64(), frozenset({int, float, _NONE}), 8),
    "BYTES": Datatype("BYTES", pa.string(), frozenset({str, bytes, _NONE}), None),
}
