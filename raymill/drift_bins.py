"""The drift bins: into which bin of its column each live cell falls, counted as the reference counted train rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from raymill.columns import BooleanColumn, CategoryColumn, ColumnTransform, NumberColumn, TimestampColumn
from raymill.drift_reference import DriftReference
from raymill.encoder import Lookup
from raymill.transform import Transform

Binner = Callable[[pa.ChunkedArray], np.ndarray]


class DriftBins:
    """Built once for a model; only reads itself afterwards, so that threads may share it.

    `train (columns, bins) int64` are the train rows, by `names`; a column with fewer bins has zeros behind its own.
    """

    def __init__(self, reference: DriftReference, transform: Transform) -> None:
        self.names = tuple(column.name for column in reference.columns)
        bins = [len(column.counts) for column in reference.columns]
        self.train = np.zeros((len(bins), max(bins)), np.int64)
        for row, column in zip(self.train, reference.columns, strict=True):
            row[: len(column.counts)] = column.counts
        numbers = [index for index, column in enumerate(transform.columns) if isinstance(column, NumberColumn)]
        self._numbers = _Numbers(reference, numbers)
        self._others: list[tuple[int, str, Binner]] = [
            (index, column.name, _binner(column, bins[index]))
            for index, column in enumerate(transform.columns)
            if not isinstance(column, NumberColumn)
        ]

    def count(self, table: pa.Table) -> np.ndarray:
        """How many rows of a conformed table are in each bin, `(columns, bins) int64`."""
        found = np.empty((len(self.names), table.num_rows), np.int64)
        if self._numbers.places:
            found[self._numbers.places] = self._numbers.bins(table)
        for index, name, bins in self._others:
            found[index] = bins(table[name])
        columns, most = self.train.shape
        flat = (found + most * np.arange(columns)[:, None]).ravel()
        return np.bincount(flat, minlength=columns * most).reshape(columns, most)


class _Numbers:
    """All number columns at once; `places` are theirs among all columns."""

    def __init__(self, reference: DriftReference, places: list[int]) -> None:
        columns = [reference.columns[place] for place in places]
        self.places = places
        self._names = [column.name for column in columns]
        self._least = np.array([column.ends[0] for column in columns])[:, None]
        self._missing = np.array([len(column.counts) - 1 for column in columns])[:, None]
        most = max((len(column.ends) for column in columns), default=1)
        self._uppers = np.full((most - 1, len(columns), 1), np.inf)
        for index, column in enumerate(columns):
            self._uppers[: len(column.ends) - 1, index, 0] = column.ends[1:]

    def bins(self, table: pa.Table) -> np.ndarray:
        """The bin of each cell, `(columns, rows) int64`."""
        cells = np.empty((len(self._names), table.num_rows))
        for index, name in enumerate(self._names):
            cells[index] = table[name].to_numpy()
        found = (cells >= self._least).astype(np.int64)
        for upper in self._uppers:
            found += cells > upper
        return np.where(np.isnan(cells), self._missing, found)


def _binner(column: ColumnTransform, bins: int) -> Binner:
    if isinstance(column, CategoryColumn):
        return _Categories(column, bins).bins
    if isinstance(column, BooleanColumn):
        return _boolean
    assert isinstance(column, TimestampColumn)
    return _timestamp


class _Categories:
    def __init__(self, column: CategoryColumn, bins: int) -> None:
        own = bins - 3
        self._lookup, self._missing = Lookup(column), bins - 1
        self._bin_of = np.full(column.size, own, np.int64)
        self._bin_of[1 : own + 1] = np.arange(own)
        self._bin_of[column.unseen_index] = own + 1

    def bins(self, texts: pa.ChunkedArray) -> np.ndarray:
        # A transform that knows no missing cells has no index for them, so they are told apart here.
        return np.where(texts.is_null().to_numpy(), self._missing, self._bin_of[self._lookup.codes(texts)])


def _boolean(cells: pa.ChunkedArray) -> np.ndarray:
    return np.where(cells.is_null().to_numpy(), 2, cells.fill_null(False).to_numpy())


def _timestamp(cells: pa.ChunkedArray) -> np.ndarray:
    missing: np.ndarray = cells.is_null().to_numpy()
    return missing.astype(np.int64)
