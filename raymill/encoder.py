"""The encoder: a transform's parameters laid out for speed, turning a conformed table into feature arrays.

Every cell is encoded by itself with the same float64 operations and tables, so that a row gets the same bytes alone
and among a million. It fits nothing and checks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymill.columns import BooleanColumn, CategoryColumn, ColumnTransform, NumberColumn, TimestampColumn
from raymill.kind_statistics import months, weekdays

# Rows encoded at a time: their float64 intermediates stay in the processor's cache.
_BLOCK_ROWS = 8_192
# Arrow builds its hash table anew on every look-up, 0.3 ms for 10,000 values: below this a dict is faster.
_FEW_ROWS = 256
# Standardised numbers end here, so that float32 and a network's sums hold them.
LIMIT = 1e6
_MINUTES = 1_440


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Encoded rows: `numbers (rows, n) float32` C-contiguous and `categories (rows, c) int32`."""

    numbers: np.ndarray
    categories: np.ndarray


class Encoder:
    """Built once for a transform; only reads itself afterwards, so that threads may share it."""

    def __init__(self, columns: Sequence[ColumnTransform]) -> None:
        starts = np.cumsum([0, *(len(column.number_names()) for column in columns)]).tolist()
        self._widths = (int(starts[-1]), sum(column.category() is not None for column in columns))
        placed = list(zip(columns, starts, strict=False))
        self._numbers = _Numbers([(column, at) for column, at in placed if isinstance(column, NumberColumn)])
        self._others: list[tuple[str, Callable[[pa.ChunkedArray, np.ndarray], None], int, int]] = []
        self._embedded: list[_Lookup] = []
        for column, at in placed:
            end = at + len(column.number_names())
            if isinstance(column, CategoryColumn) and not column.one_hot:
                self._embedded.append(_Lookup(column))
            elif not isinstance(column, NumberColumn):
                self._others.append((column.name, _writer(column), at, end))

    def encode(self, table: pa.Table) -> Features:
        """Encodes a conformed table of any number of rows."""
        rows = table.num_rows
        numbers = np.empty((rows, self._widths[0]), dtype=np.float32)
        categories = np.empty((rows, self._widths[1]), dtype=np.int32)
        for start in range(0, rows, _BLOCK_ROWS):
            block = table.slice(start, _BLOCK_ROWS) if rows > _BLOCK_ROWS else table
            part = slice(start, start + _BLOCK_ROWS)
            self._numbers.write(block, numbers[part])
            for name, write, at, end in self._others:
                write(block[name], numbers[part, at:end])
            for index, lookup in enumerate(self._embedded):
                categories[part, index] = lookup.codes(block[lookup.name])
        return Features(numbers=numbers, categories=categories)


class _Numbers:
    """All number columns at once: impute, standardise, limit; and 0/1 for missing cells."""

    def __init__(self, placed: Sequence[tuple[NumberColumn, int]]) -> None:
        columns = [column for column, _ in placed]
        self._names = [column.name for column in columns]
        self._medians = np.array([column.median for column in columns])[:, None]
        self._values = np.flatnonzero([column.sd > 0 for column in columns])
        self._means = np.array([column.mean for column in columns if column.sd > 0])[:, None]
        self._sds = np.array([column.sd for column in columns if column.sd > 0])[:, None]
        self._value_at = np.array([at for column, at in placed if column.sd > 0], dtype=np.int64)
        self._gaps = np.flatnonzero([column.missing for column in columns])
        self._gap_at = np.array([at + (c.sd > 0) for c, at in placed if c.missing], dtype=np.int64)

    def write(self, table: pa.Table, out: np.ndarray) -> None:
        if not self._names:
            return
        cells = np.empty((len(self._names), table.num_rows))
        for index, name in enumerate(self._names):
            cells[index] = table[name].to_numpy()
        missing = np.isnan(cells)
        values = np.where(missing, self._medians, cells)[self._values]
        with np.errstate(over="ignore"):
            values -= self._means
            values /= self._sds
        out[:, self._value_at] = np.clip(values, -LIMIT, LIMIT, out=values).T
        out[:, self._gap_at] = missing[self._gaps].T


class _Lookup:
    """Category texts to their indices, and on to the rows of a one-hot matrix."""

    def __init__(self, column: CategoryColumn) -> None:
        self.name = column.name
        indices = [*range(1, len(column.values) + 1), column.missing_index, column.unseen_index]
        keys = [*column.values, None]
        self._index_of = dict(zip(keys, indices, strict=False))
        self._unseen = column.unseen_index
        self._indices = np.array(indices, dtype=np.int32)
        self._keys = pa.array(keys, pa.string())
        self._one_hot = np.eye(column.size, dtype=np.float32)[:, 1:] if column.one_hot else None

    def codes(self, texts: pa.ChunkedArray) -> np.ndarray:
        """Indices `(rows,) int32`."""
        if len(texts) <= _FEW_ROWS:
            found = [self._index_of.get(text, self._unseen) for text in texts.to_pylist()]
            return np.array(found, dtype=np.int32)
        # Position -1 is the last of the indices, which is the one for unseen texts.
        codes: np.ndarray = self._indices[pc.index_in(texts, value_set=self._keys).fill_null(-1).to_numpy()]
        return codes

    def write(self, texts: pa.ChunkedArray, out: np.ndarray) -> None:
        assert self._one_hot is not None
        out[:] = self._one_hot[self.codes(texts)]


def _minute_of_day(times_us: np.ndarray) -> np.ndarray:
    minutes: np.ndarray = times_us // 60_000_000 % _MINUTES
    return minutes


_PARTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "hour": (_minute_of_day, _MINUTES),
    "weekday": (weekdays, 7),
    "month": (months, 12),
}


def _circle(steps: int) -> np.ndarray:
    """Sine and cosine of each of so many steps around the circle, `(steps, 2) float32`."""
    angles = [2 * math.pi * step / steps for step in range(steps)]
    return np.array([(math.sin(angle), math.cos(angle)) for angle in angles], dtype=np.float32)


class _Times:
    """Timestamps to points on circles from tables, one table per part; the centre of the circle if missing."""

    def __init__(self, column: TimestampColumn) -> None:
        self._missing = column.missing
        self._parts = [(position, _circle(steps)) for position, steps in map(_PARTS.__getitem__, column.parts)]

    def write(self, times: pa.ChunkedArray, out: np.ndarray) -> None:
        missing = times.is_null().to_numpy()
        times_us = times.cast(pa.int64()).fill_null(0).to_numpy()
        for index, (position, circle) in enumerate(self._parts):
            out[:, 2 * index : 2 * index + 2] = circle[position(times_us)]
        out[missing] = 0.0
        if self._missing:
            out[:, -1] = missing


def _writer(column: ColumnTransform) -> Callable[[pa.ChunkedArray, np.ndarray], None]:
    if isinstance(column, CategoryColumn):
        return _Lookup(column).write
    if isinstance(column, TimestampColumn):
        return _Times(column).write
    assert isinstance(column, BooleanColumn)
    return _write_boolean


def _write_boolean(cells: pa.ChunkedArray, out: np.ndarray) -> None:
    true = cells.fill_null(False).to_numpy()
    false = ~cells.fill_null(True).to_numpy()
    out[:, 0] = true.astype(np.float32) - false
