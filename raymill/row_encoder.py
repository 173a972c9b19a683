"""The row encoder: the features of some JSON rows without a table, for rows that hold what rows nearly always hold.

| kind | plain here |
|---|---|
| number | a finite number, null or no such key |
| category | a text that is one of the column's values as it stands, or an integer whose digits are; null, no such key |
| boolean | true, false, null, no such key |
| timestamp | null, no such key, `2024-03-01`, and a time behind it to the minute or second, with `Z` or no zone |

Whatever else a request holds, right or wrong, is for `Schema.table_from_rows`, and then a table's own way, which takes
a few times as long. What both read is encoded by the same operations, to the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from raymill.columns import BooleanColumn, CategoryColumn, ColumnTransform, NumberColumn, TimestampColumn
from raymill.encoder import places
from raymill.encodings import CategoryEncoding, Features, NumberEncoding, TimeEncoding
from raymill.native import Native
from raymill.schema import Schema

Row = dict[str, Any]
Writer = Callable[[list[Any], np.ndarray], bool]
# Beyond so many rows the calls into Arrow are the smaller part.
MOST_ROWS = 1_024
_PLAIN_NUMBERS = frozenset[type]({float, int})
_GAPS = frozenset[type]({float, int, type(None)})
# Of categories that were numbers of these types, and of texts, an integer's text is its digits.
_DIGITS: frozenset[Native] = frozenset({"text", "exact", "double"})
_SIGNS: dict[Any, float] = {True: 1.0, False: -1.0, None: 0.0}
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?Z?)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RowEncoder:
    """Built once for a schema and its transform; only reads itself afterwards, so that threads may share it."""

    def __init__(self, schema: Schema, columns: Sequence[ColumnTransform]) -> None:
        placed, self._widths = places(columns)
        self._known = frozenset(schema.kinds)
        self._numbers = NumberEncoding([(column, at) for column, at in placed if isinstance(column, NumberColumn)])
        self._others: list[tuple[str, Writer, int, int]] = []
        self._embedded: list[_Codes] = []
        for column, at in placed:
            end = at + len(column.number_names())
            if isinstance(column, CategoryColumn) and not column.one_hot:
                self._embedded.append(_Codes(column, schema.natives[column.name]))
            elif not isinstance(column, NumberColumn):
                self._others.append((column.name, _writer(column, schema), at, end))

    def encode(self, rows: Sequence[Row]) -> Features | None:
        """The rows' features, or None where one holds what isn't plain here, or there are over 1,024 or none."""
        if not 0 < len(rows) <= MOST_ROWS or set(map(type, rows)) != {dict}:
            return None
        if not all(map(self._known.issuperset, set(map(tuple, rows)))):
            return None
        numbers = np.empty((len(rows), self._widths[0]), dtype=np.float32)
        categories = np.empty((len(rows), self._widths[1]), dtype=np.int32)
        if not self._write_numbers(rows, numbers):
            return None
        for name, write, at, end in self._others:
            if not write([row.get(name) for row in rows], numbers[:, at:end]):
                return None
        for index, codes in enumerate(self._embedded):
            found = codes.of([row.get(codes.encoding.name) for row in rows])
            if found is None:
                return None
            categories[:, index] = found
        return Features(numbers=numbers, categories=categories)

    def _cells(self, rows: Sequence[Row]) -> list[Any]:
        """Those of the number columns, row by row."""
        names = self._numbers.names
        if len(names) > 1:  # of which `itemgetter` gives a tuple
            try:
                return list(chain.from_iterable(map(itemgetter(*names), rows)))
            except KeyError:  # a row leaves one out
                pass
        return [row.get(name) for row in rows for name in names]

    def _write_numbers(self, rows: Sequence[Row], out: np.ndarray) -> bool:
        width = len(self._numbers.names)
        if not width:
            return True
        values = self._cells(rows)
        kinds = set(map(type, values))
        if not kinds <= _GAPS:
            return False
        try:
            cells = np.array(values, dtype=np.float64)
        except OverflowError:
            return False
        gaps = 0 if kinds <= _PLAIN_NUMBERS else values.count(None)
        if np.count_nonzero(np.isfinite(cells)) + gaps < len(values):
            return False
        self._numbers.put(cells.reshape(len(rows), width).T, out)
        return True


class _Codes:
    """The indices of a category column's values."""

    def __init__(self, column: CategoryColumn, native: Native) -> None:
        self.encoding = CategoryEncoding(column)
        self._index_of = self.encoding.index_of
        self._takes = frozenset[type]({str, type(None), *((int,) if native in _DIGITS else ())})

    def of(self, values: list[Any]) -> list[int] | None:
        if not self._takes.issuperset(map(type, values)):
            return None
        try:
            return [self._index_of[value if type(value) is not int else str(value)] for value in values]
        except (KeyError, ValueError):
            # Not one of the values as they stand; or of more digits than Python writes.
            return None

    def write(self, values: list[Any], out: np.ndarray) -> bool:
        codes = self.of(values)
        if codes is None:
            return False
        self.encoding.put(codes, out)
        return True


class _Times:
    def __init__(self, column: TimestampColumn) -> None:
        self._encoding = TimeEncoding(column)

    def write(self, values: list[Any], out: np.ndarray) -> bool:
        times_us = [0 if value is None else _time_us(value) for value in values]
        if None in times_us:
            return False
        self._encoding.put(np.array(times_us, dtype=np.int64), np.array([value is None for value in values]), out)
        return True


def _time_us(text: Any) -> int | None:
    """Microseconds since 1970 of a plain time, None for what is none."""
    if type(text) is not str or not _TIME.fullmatch(text):
        return None
    try:
        time = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC) - _EPOCH
    except ValueError:
        return None
    return (time.days * 86_400 + time.seconds) * 1_000_000


def _write_booleans(values: list[Any], out: np.ndarray) -> bool:
    if not all(value is None or type(value) is bool for value in values):
        return False
    out[:, 0] = [_SIGNS[value] for value in values]
    return True


def _writer(column: ColumnTransform, schema: Schema) -> Writer:
    if isinstance(column, CategoryColumn):
        return _Codes(column, schema.natives[column.name]).write
    if isinstance(column, TimestampColumn):
        return _Times(column).write
    assert isinstance(column, BooleanColumn)
    return _write_booleans
