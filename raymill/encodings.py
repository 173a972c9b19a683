"""The encodings: the parameters of a transform's columns, laid out for speed, from bare values to features.

What they take are numpy arrays and Python's own values, so that a table and a handful of JSON objects are encoded by
the same operations: a row gets the same bytes either way, alone and among a million. They fit and check nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from raymill.columns import CategoryColumn, NumberColumn, TimestampColumn
from raymill.kind_statistics import months, weekdays

# Standardised numbers end here, so that float32 and a network's sums hold them.
LIMIT = 1e6
_MINUTES = 1_440


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Encoded rows: `numbers (rows, n) float32` and `categories (rows, c) int32`, C-contiguous by default."""

    numbers: np.ndarray
    categories: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.numbers)

    @classmethod
    def joined(cls, parts: Sequence[Features]) -> Features:
        """The rows of all parts, in order; there is one part or more."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            numbers=np.concatenate([part.numbers for part in parts]),
            categories=np.concatenate([part.categories for part in parts]),
        )


class NumberEncoding:
    """All number columns at once: impute, standardise, limit; and 0/1 for missing cells."""

    def __init__(self, placed: Sequence[tuple[NumberColumn, int]]) -> None:
        columns = [column for column, _ in placed]
        self.names = [column.name for column in columns]
        self._medians = np.array([column.median for column in columns])[:, None]
        self._values = np.flatnonzero([column.sd > 0 for column in columns])
        self._means = np.array([column.mean for column in columns if column.sd > 0])[:, None]
        self._sds = np.array([column.sd for column in columns if column.sd > 0])[:, None]
        self._value_at = np.array([at for column, at in placed if column.sd > 0], dtype=np.int64)
        self._gaps = np.flatnonzero([column.missing for column in columns])
        self._gap_at = np.array([at + (c.sd > 0) for c, at in placed if c.missing], dtype=np.int64)

    def put(self, cells: np.ndarray, out: np.ndarray) -> None:
        """Of cells `(columns, rows) float64`, NaN where one is missing, into features `(rows, n) float32`."""
        missing = np.isnan(cells)
        values = np.where(missing, self._medians, cells)[self._values]
        with np.errstate(over="ignore"):
            values -= self._means
            values /= self._sds
        out[:, self._value_at] = np.clip(values, -LIMIT, LIMIT, out=values).T
        if len(self._gaps):
            out[:, self._gap_at] = missing[self._gaps].T


class CategoryEncoding:
    """Category texts to their indices, and on to the rows of a one-hot matrix."""

    def __init__(self, column: CategoryColumn) -> None:
        self.name = column.name
        self.indices = np.array(
            [*range(1, len(column.values) + 1), column.missing_index, column.unseen_index], dtype=np.int32
        )
        self.keys: list[str | None] = [*column.values, None]
        self.index_of = dict(zip(self.keys, self.indices.tolist(), strict=False))
        self._unseen = column.unseen_index
        self._one_hot = np.eye(column.size, dtype=np.float32)[:, 1:] if column.one_hot else None

    def codes(self, texts: Iterable[str | None]) -> np.ndarray:
        """Indices `(rows,) int32` of canonical texts."""
        return np.array([self.index_of.get(text, self._unseen) for text in texts], dtype=np.int32)

    def put(self, codes: np.ndarray | Sequence[int], out: np.ndarray) -> None:
        """One-hot features of indices `(rows,)`, of a column that has them."""
        assert self._one_hot is not None
        out[:] = self._one_hot[codes]


class TimeEncoding:
    """Timestamps to points on circles from tables, one table per part; the centre of the circle if missing."""

    def __init__(self, column: TimestampColumn) -> None:
        self._missing = column.missing
        self._parts = [(position, _circle(steps)) for position, steps in map(_PARTS.__getitem__, column.parts)]

    def put(self, times_us: np.ndarray, missing: np.ndarray, out: np.ndarray) -> None:
        """Of microseconds since 1970 `(rows,) int64`, whatever they are where `missing (rows,) bool`."""
        for index, (position, circle) in enumerate(self._parts):
            out[:, 2 * index : 2 * index + 2] = circle[position(times_us)]
        out[missing] = 0.0
        if self._missing:
            out[:, -1] = missing


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
