"""The drift reference: how many train rows fell into each bin of each column; live rows are held against it.

| kind | bins, and one more for missing cells, the last |
|---|---|
| number | below the least of train; up to each decile and up to the largest; above it |
| category | each of the 50 most frequent values; the other known ones; unseen |
| boolean | false; true |
| timestamp | any time |

A value of a tenth of the rows or more ends a bin just below itself, so that a zero that became -1 shows. Times have one
bin, since live rows are later than train rows, and of another season, when nothing is wrong.

It holds counts and, of numbers, where bins end; no category, whose names are the transform's. It knows no live row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from raymill.columns import (
    BooleanColumn,
    CategoryColumn,
    ColumnTransform,
    NumberColumn,
    TimestampColumn,
    rare_below,
)
from raymill.sketch import Quantiles
from raymill.statistics import ColumnSummary, TableSummary
from raymill.transform import Transform

MOST_CATEGORIES = 50
_SHARES = np.arange(1, 10) / 10
_HEAVY = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceColumn:
    """A column's train rows by bin, missing cells last.

    `ends` are a number's: the least train cell, which is in the second bin, then the largest cell of each bin from the
    second to the last but one.
    """

    name: str
    counts: tuple[int, ...]
    ends: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReferenceColumn:
        return cls(**{**data, "counts": tuple(data["counts"]), "ends": tuple(data["ends"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReference:
    """All columns of a transform, in its order; each has all train rows, in at most 53 bins."""

    columns: tuple[ReferenceColumn, ...]

    @classmethod
    def of(cls, transform: Transform, summary: TableSummary) -> DriftReference:
        """Of the statistics that the transform was fitted on."""
        return cls(columns=tuple(_column(column, summary.columns[column.name]) for column in transform.columns))

    def to_json(self) -> dict[str, Any]:
        return {"columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> DriftReference | None:
        """None of None, as in files of before there was one."""
        if data is None:
            return None
        return cls(columns=tuple(ReferenceColumn.from_json(column) for column in data["columns"]))


def _column(column: ColumnTransform, summary: ColumnSummary) -> ReferenceColumn:
    counts, ends = _BINS[type(column)](column, summary)
    missing = summary.train_rows - sum(counts)
    return ReferenceColumn(name=column.name, counts=(*counts, missing), ends=tuple(ends))


def _number(_: NumberColumn, summary: ColumnSummary) -> tuple[list[int], list[float]]:
    numbers = summary.numbers
    assert numbers is not None, "the schema checked it"
    uppers = np.unique([*_uppers(numbers.quantiles), numbers.maximum])
    reached = np.concatenate([[0], np.cumsum(numbers.quantiles.weights)])
    below = reached[np.searchsorted(numbers.quantiles.values, uppers[:-1], side="right")]
    counts = np.diff([0, 0, *below, numbers.count, numbers.count])
    return counts.tolist(), [numbers.minimum, *uppers.tolist()]


def _uppers(quantiles: Quantiles) -> np.ndarray:
    """The deciles, and the value before each that a tenth of the rows has or more."""
    reached = np.cumsum(quantiles.weights)
    at = np.searchsorted(reached, _SHARES * reached[-1])
    heavy = at[(quantiles.weights[at] >= _HEAVY * reached[-1]) & (at > 0)]
    found: np.ndarray = quantiles.values[np.concatenate([at, heavy - 1])]
    return found


def _category(column: CategoryColumn, summary: ColumnSummary) -> tuple[list[int], list[float]]:
    """A value counts as one that is known where it would be so without one of its rows.

    That is how often a next row is of a value that train knows (Good 1953): of values seen as rarely as is just enough
    there were others that were not, and live rows bring those.
    """
    ranked = np.sort(summary.categories.counts)[::-1]
    rare = rare_below(summary)
    next_one = int(ranked[MOST_CATEGORIES]) if len(ranked) > MOST_CATEGORIES else 0
    own = ranked[:MOST_CATEGORIES][: len(column.values)]
    own = own[own > max(next_one, rare)]
    others = ranked[len(own) : len(column.values)]
    known = int(others[others > rare].sum())
    unseen = summary.categories.count - int(own.sum()) - known
    return [*own.tolist(), known, unseen], []


def _boolean(_: BooleanColumn, summary: ColumnSummary) -> tuple[list[int], list[float]]:
    booleans = summary.booleans
    assert booleans is not None, "the schema checked it"
    return [booleans.falses, booleans.trues], []


def _timestamp(_: TimestampColumn, summary: ColumnSummary) -> tuple[list[int], list[float]]:
    times = summary.timestamps
    assert times is not None, "the schema checked it"
    return [times.count], []


_BINS: dict[type, Callable[[Any, ColumnSummary], tuple[list[int], list[float]]]] = {
    NumberColumn: _number,
    CategoryColumn: _category,
    BooleanColumn: _boolean,
    TimestampColumn: _timestamp,
}
