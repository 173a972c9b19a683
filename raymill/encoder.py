"""The encoder: a conformed table into feature arrays, block by block. It fits nothing and checks nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymill.cells import codes_of, is_coded, whole
from raymill.columns import BooleanColumn, CategoryColumn, ColumnTransform, NumberColumn, TimestampColumn
from raymill.encodings import CategoryEncoding, Features, NumberEncoding, TimeEncoding

# Rows encoded at a time: their float64 intermediates stay in the processor's cache.
_BLOCK_ROWS = 8_192
# Arrow builds its hash table anew on every look-up, 0.3 ms for 10,000 values: below this a dict is faster.
_FEW_ROWS = 256


class Encoder:
    """Built once for a transform; only reads itself afterwards, so that threads may share it."""

    def __init__(self, columns: Sequence[ColumnTransform]) -> None:
        placed, self._widths = places(columns)
        self._numbers = NumberEncoding([(column, at) for column, at in placed if isinstance(column, NumberColumn)])
        self._others: list[tuple[str, Callable[[pa.ChunkedArray, np.ndarray], None], int, int]] = []
        self._embedded: list[Lookup] = []
        for column, at in placed:
            end = at + len(column.number_names())
            if isinstance(column, CategoryColumn) and not column.one_hot:
                self._embedded.append(Lookup(column))
            elif not isinstance(column, NumberColumn):
                self._others.append((column.name, _writer(column), at, end))

    def encode(self, table: pa.Table, order: Literal["C", "F"] = "C") -> Features:
        """Encodes a conformed table of any number of rows, into arrays whose rows (C) or columns (F) are contiguous."""
        rows = table.num_rows
        numbers = np.empty((rows, self._widths[0]), dtype=np.float32, order=order)
        categories = np.empty((rows, self._widths[1]), dtype=np.int32, order=order)
        for start in range(0, rows, _BLOCK_ROWS):
            block = table.slice(start, _BLOCK_ROWS) if rows > _BLOCK_ROWS else table
            part = slice(start, start + _BLOCK_ROWS)
            self._write_numbers(block, numbers[part])
            for name, write, at, end in self._others:
                write(block[name], numbers[part, at:end])
        for index, lookup in enumerate(self._embedded):
            categories[:, index] = lookup.codes(table[lookup.encoding.name])
        return Features(numbers=numbers, categories=categories)

    def _write_numbers(self, table: pa.Table, out: np.ndarray) -> None:
        if not self._numbers.names:
            return
        cells = np.empty((len(self._numbers.names), table.num_rows))
        for index, name in enumerate(self._numbers.names):
            cells[index] = table[name].to_numpy()
        self._numbers.put(cells, out)


def places(columns: Sequence[ColumnTransform]) -> tuple[list[tuple[ColumnTransform, int]], tuple[int, int]]:
    """Each column with the first of its number features, and how many features there are: numbers, categories."""
    starts = np.cumsum([0, *(len(column.number_names()) for column in columns)]).tolist()
    widths = (int(starts[-1]), sum(column.category() is not None for column in columns))
    return list(zip(columns, starts, strict=False)), widths


class Lookup:
    """A category column's encoding, of Arrow's texts or codes of them; threads may share it."""

    def __init__(self, column: CategoryColumn) -> None:
        self.encoding = CategoryEncoding(column)
        self._keys = pa.array(self.encoding.keys, pa.string())

    def codes(self, texts: pa.ChunkedArray | pa.Array) -> np.ndarray:
        if is_coded(texts.type):
            array = whole(texts)
            by_code: np.ndarray = np.append(self.codes(array.dictionary), self.encoding.index_of[None])
            codes: np.ndarray = by_code[codes_of(array)]
            return codes
        if len(texts) <= _FEW_ROWS:
            return self.encoding.codes(texts.to_pylist())
        # Position -1 is the last of the indices, which is the one for unseen texts.
        found = pc.index_in(texts, value_set=self._keys).fill_null(-1).to_numpy()
        codes = self.encoding.indices[found]
        return codes

    def write(self, texts: pa.ChunkedArray, out: np.ndarray) -> None:
        self.encoding.put(self.codes(texts), out)


class _Times:
    """A timestamp column's encoding, of Arrow's times."""

    def __init__(self, column: TimestampColumn) -> None:
        self._encoding = TimeEncoding(column)

    def write(self, times: pa.ChunkedArray, out: np.ndarray) -> None:
        self._encoding.put(times.cast(pa.int64()).fill_null(0).to_numpy(), times.is_null().to_numpy(), out)


def _writer(column: ColumnTransform) -> Callable[[pa.ChunkedArray, np.ndarray], None]:
    if isinstance(column, CategoryColumn):
        return Lookup(column).write
    if isinstance(column, TimestampColumn):
        return _Times(column).write
    assert isinstance(column, BooleanColumn)
    return _write_boolean


def _write_boolean(cells: pa.ChunkedArray, out: np.ndarray) -> None:
    true = cells.fill_null(False).to_numpy()
    false = ~cells.fill_null(True).to_numpy()
    out[:, 0] = true.astype(np.float32) - false
