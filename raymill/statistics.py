"""Statistics: what one pass over a table learns of each column, in pieces that merge in a fixed order.

| kept per column | over | used for |
|---|---|---|
| which kinds every cell can be read as, and the first cell that can't | all rows | the schema |
| mean and M2 (Chan et al. 1979), minimum, maximum, quantiles | train rows | numbers |
| counts of texts, count of distinct ones | train rows | categories, class labels |
| trues and falses | train rows | booleans |
| extent, time of day, weekdays, months | train rows | timestamps |

Everything is held at once, because the kind of a column is known only after the last piece; what a kind can't
read is None. The module chooses no kind and no transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raymill.cells import KINDS, BadCell, codes_of, is_coded, is_plain_number, is_supported, read, texts, whole
from raymill.errors import DataError
from raymill.kind_statistics import BooleanStatistics, NumberStatistics, TimestampStatistics, are_whole
from raymill.sketch import KEPT_CATEGORIES, MANY_CELLS, Categories, Distinct, most_frequent
from raymill.spec import FeatureType

__all__ = [
    "BooleanStatistics",
    "ColumnSummary",
    "NumberStatistics",
    "Statistics",
    "TableSummary",
    "TimestampStatistics",
]

Statistics = NumberStatistics | Categories | BooleanStatistics | TimestampStatistics


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnSummary:
    """One column: what its cells can be, over all rows, and their statistics, over train rows."""

    native: pa.DataType
    rows: int
    train_rows: int
    unreadable: dict[FeatureType, BadCell]
    numbers: NumberStatistics | None
    booleans: BooleanStatistics | None
    timestamps: TimestampStatistics | None
    categories: Categories
    distinct_sketch: Distinct

    @classmethod
    def of(cls, column: pa.ChunkedArray, train: np.ndarray) -> ColumnSummary:
        """Reads each different cell once; `train (rows,) bool`."""
        array = whole(column)
        if is_coded(array.type):
            return cls._of_codes(array, train)
        if not is_supported(array.type):
            return cls._unsupported(array.type, train)
        if is_plain_number(array.type):
            return cls._of_numbers(array, train)
        return cls._of_codes(array.dictionary_encode(), train)

    @classmethod
    def _of_codes(cls, encoded: pa.DictionaryArray, train: np.ndarray) -> ColumnSummary:
        size, codes = len(encoded.dictionary), codes_of(encoded)
        tally = np.bincount(2 * codes + train, minlength=2 * size + 2).reshape(-1, 2)[:size]
        # What no cell holds, in a dictionary of somebody else's making, is no evidence.
        held = np.flatnonzero(tally.any(axis=1))
        different, counts = encoded.dictionary.take(pa.array(held)), tally[held, 1]
        words = texts(different)
        cells, bad = _read(different)
        return cls(
            native=different.type,
            rows=len(train),
            train_rows=int(np.count_nonzero(train)),
            unreadable={k: BadCell(row=int(np.argmax(codes == held[b.row])), value=b.value) for k, b in bad.items()},
            categories=Categories.of(words, counts),
            distinct_sketch=Distinct.of(words.filter(pa.array(counts > 0))),
            **_by_kind(cells, counts, whole="number" in cells and are_whole(cells["number"])),
        )

    @classmethod
    def _of_numbers(cls, array: pa.Array, train: np.ndarray) -> ColumnSummary:
        """Of integers or floats, which are sorted: faster than a dictionary where nearly all are different."""
        cells, bad = _read(array)
        whole = are_whole(cells["number"])
        values, counts = _sorted_distinct(_present(array, train))
        different = pa.array(values)
        # Of many only the most frequent are written as texts, which takes longer than sorting them all.
        most = MANY_CELLS if whole else KEPT_CATEGORIES
        listed = most_frequent(counts) if len(counts) > most else np.arange(len(counts))
        return cls(
            native=array.type,
            rows=len(train),
            train_rows=int(np.count_nonzero(train)),
            unreadable=bad,
            categories=Categories.of(
                texts(different.take(pa.array(listed)).cast(array.type)),
                counts[listed],
                unlisted=int(counts.sum() - counts[listed].sum()),
            ),
            distinct_sketch=Distinct.of_numbers(values),
            **_by_kind({kind: read(different, kind) for kind in cells}, counts, whole=whole),
        )

    @classmethod
    def _unsupported(cls, native: pa.DataType, train: np.ndarray) -> ColumnSummary:
        none = pa.array([], pa.string())
        return cls(
            native=native,
            rows=len(train),
            train_rows=int(np.count_nonzero(train)),
            unreadable={kind: BadCell(row=0, value=f"a cell of type {native}") for kind in KINDS},
            numbers=None,
            booleans=None,
            timestamps=None,
            categories=Categories.of(none, np.zeros(0, np.int64)),
            distinct_sketch=Distinct.of(none),
        )

    def merge(self, other: ColumnSummary) -> ColumnSummary:
        later = {k: BadCell(row=b.row + self.rows, value=b.value) for k, b in other.unreadable.items()}
        return ColumnSummary(
            native=other.native if pa.types.is_null(self.native) else self.native,
            rows=self.rows + other.rows,
            train_rows=self.train_rows + other.train_rows,
            unreadable=later | self.unreadable,
            numbers=_merged(self.numbers, other.numbers),
            booleans=_merged(self.booleans, other.booleans),
            timestamps=_merged(self.timestamps, other.timestamps),
            categories=self.categories.merge(other.categories),
            distinct_sketch=self.distinct_sketch.merge(other.distinct_sketch),
        )

    def statistics(self, kind: FeatureType) -> Statistics | None:
        """The statistics of the cells read as a kind; None if some cell can't be."""
        held: dict[FeatureType, Statistics | None] = {
            "number": self.numbers,
            "category": None if "category" in self.unreadable else self.categories,
            "boolean": self.booleans,
            "timestamp": self.timestamps,
        }
        return held[kind]

    @property
    def missing(self) -> int:
        """Train cells without a text; a number column also misses its infinities (`train_rows - numbers.count`)."""
        return self.train_rows - self.categories.count

    @property
    def distinct(self) -> int:
        """Different texts in the train rows, exact up to 20,000 (10,000 fractions), else estimated."""
        return self.distinct_sketch.estimate if self.categories.overflowed else len(self.categories.texts)


def _read(values: pa.Array) -> tuple[dict[FeatureType, pa.Array], dict[FeatureType, BadCell]]:
    """Cells as every kind but a category that all of them can be read as, and of the other kinds the first misfit."""
    found = {kind: read(values, kind) for kind in KINDS if kind != "category"}
    bad: dict[FeatureType, BadCell] = {kind: cell for kind, cell in found.items() if isinstance(cell, BadCell)}
    return {kind: cells for kind, cells in found.items() if kind not in bad}, bad


def _by_kind(cells: dict[FeatureType, pa.Array], counts: np.ndarray, *, whole: bool) -> dict[str, Any]:
    """Statistics of different cells, each in `counts` train rows, for the kinds that they were read as."""
    return {
        "numbers": NumberStatistics.of(cells["number"], counts, whole=whole) if "number" in cells else None,
        "booleans": BooleanStatistics.of(cells["boolean"], counts) if "boolean" in cells else None,
        "timestamps": TimestampStatistics.of(cells["timestamp"], counts) if "timestamp" in cells else None,
    }


def _present(cells: pa.Array, train: np.ndarray) -> np.ndarray:
    """The finite numbers among the train cells, in 64 bits, in new memory."""
    if pa.types.is_floating(cells.type):
        values = cells.to_numpy(zero_copy_only=False)
        wide: np.ndarray = values[train & np.isfinite(values)].astype(np.float64, copy=False)
    else:
        bits = np.uint64 if pa.types.is_unsigned_integer(cells.type) else np.int64
        wide = cells.filter(pa.array(train)).drop_null().to_numpy().astype(bits)
    return wide


def _sorted_distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different ones of numbers, which are sorted in place, and how often each is there `(n,) int64`."""
    values.sort()
    new = values[1:] != values[:-1]
    if new.all():
        return values, np.ones(len(values), np.int64)
    first = np.flatnonzero(np.concatenate([[True], new]))
    return values[first], np.diff(first, append=len(values))


def _merged(first: Any, second: Any) -> Any:
    return None if first is None or second is None else first.merge(second)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableSummary:
    """All columns of a table, or of its pieces so far."""

    rows: int
    train_rows: int
    columns: dict[str, ColumnSummary]

    @classmethod
    def of(cls, table: pa.Table, train: np.ndarray) -> TableSummary:
        """Summarises a raw table of any Arrow types; `train (rows,) bool` says which rows are train rows."""
        return cls(
            rows=table.num_rows,
            train_rows=int(np.count_nonzero(train)),
            columns={name: ColumnSummary.of(table[name], train) for name in table.column_names},
        )

    def merge(self, other: TableSummary) -> TableSummary:
        """This piece followed by another one with the same columns."""
        for name in self.columns.keys() ^ other.columns.keys():
            raise DataError(
                f"The pieces of the table differ: column {name!r} is not in all of them.",
                "Give every file the same columns.",
            )
        return TableSummary(
            rows=self.rows + other.rows,
            train_rows=self.train_rows + other.train_rows,
            columns={name: column.merge(other.columns[name]) for name, column in self.columns.items()},
        )
