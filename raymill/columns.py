"""Column transforms: the frozen parameters by which one column becomes features, fitted on its train statistics.

| kind | features | missing cell |
|---|---|---|
| number | standardised after imputing the train median; none if constant | `NAME:missing` is 1, if train has gaps |
| boolean | -1 or 1 | 0 |
| category, 16 values or fewer | 0/1: `NAME=VALUE`, `NAME:rare`, `NAME:missing` | a value, or else unseen |
| category, more | an index for an embedding | the same |
| timestamp | sine, cosine of hour, weekday, month, each if it varies in train | 0, 0, and `NAME:missing` |

Values of a category are sorted by (count, text), the most frequent first, at most 10,000. From 1,000 train rows on,
values that occur fewer than 5 times are `rare`, unless all are. Index 0 is `unknown`, all zeros in 0/1 columns. A
text that train never saw is `rare` if there is such a bucket (as scikit-learn's `infrequent_if_exist`), because the
bucket has been trained and index 0 has not; else it is `unknown`. The module sees statistics, never cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from raymill.errors import DataError
from raymill.layout import CategoryFeature
from raymill.schema import Column
from raymill.spec import FeatureType
from raymill.statistics import ColumnSummary

MOST_ONE_HOT = 16
MOST_VALUES = 10_000
RARE_BELOW = 5
RARE_FROM_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberColumn:
    """`(x or median - mean) / sd`; an `sd` of 0 says that there is no such feature."""

    name: str
    median: float
    mean: float
    sd: float
    missing: bool

    def number_names(self) -> tuple[str, ...]:
        return ((self.name,) if self.sd > 0 else ()) + ((f"{self.name}:missing",) if self.missing else ())

    def category(self) -> CategoryFeature | None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class BooleanColumn:
    """-1, 1, or 0 for a missing cell."""

    name: str

    def number_names(self) -> tuple[str, ...]:
        return (self.name,)

    def category(self) -> CategoryFeature | None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryColumn:
    """Indices in the order: unknown (0), `values`, then rare and missing where the train rows have them."""

    name: str
    values: tuple[str, ...]
    rare: bool
    missing: bool

    @property
    def one_hot(self) -> bool:
        return len(self.values) <= MOST_ONE_HOT

    @property
    def size(self) -> int:
        return 1 + len(self.values) + self.rare + self.missing

    @property
    def unseen_index(self) -> int:
        return 1 + len(self.values) if self.rare else 0

    @property
    def missing_index(self) -> int:
        return self.size - 1 if self.missing else self.unseen_index

    def number_names(self) -> tuple[str, ...]:
        if not self.one_hot:
            return ()
        special = [name for name, there in (("rare", self.rare), ("missing", self.missing)) if there]
        return (*(f"{self.name}={value}" for value in self.values), *(f"{self.name}:{name}" for name in special))

    def category(self) -> CategoryFeature | None:
        return None if self.one_hot else CategoryFeature(name=self.name, size=self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampColumn:
    """Sine and cosine of each part: `hour` (with its minutes), `weekday`, `month`, in UTC."""

    name: str
    parts: tuple[str, ...]
    missing: bool

    def number_names(self) -> tuple[str, ...]:
        circles = (f"{self.name}:{part}_{wave}" for part in self.parts for wave in ("sin", "cos"))
        return (*circles, *((f"{self.name}:missing",) if self.missing else ()))

    def category(self) -> CategoryFeature | None:
        return None


ColumnTransform = NumberColumn | BooleanColumn | CategoryColumn | TimestampColumn


def fit_column(column: Column, summary: ColumnSummary) -> ColumnTransform:
    """Raises DataError when a number is too large to standardise."""
    return _FITS[column.kind](column.name, summary)


def _fit_number(name: str, summary: ColumnSummary) -> NumberColumn:
    numbers = summary.numbers
    assert numbers is not None, "the schema checked it"
    median, gaps = numbers.quantiles.at(0.5), summary.train_rows - numbers.count
    apart = median - numbers.mean
    mean = numbers.mean + apart * gaps / summary.train_rows
    variance = (numbers.m2 + apart * apart * numbers.count * gaps / summary.train_rows) / summary.train_rows
    if not np.isfinite(variance):
        raise DataError(
            f"Column {name!r} reaches from {numbers.minimum:g} to {numbers.maximum:g}, too far to standardise.",
            f"Rescale it, or add it to features.ignore, or set features.{name}.type to category.",
        )
    sd = 0.0 if numbers.constant else float(np.sqrt(variance))
    return NumberColumn(name=name, median=median, mean=mean, sd=sd, missing=gaps > 0)


def _fit_boolean(name: str, _: ColumnSummary) -> BooleanColumn:
    return BooleanColumn(name=name)


def _fit_category(name: str, summary: ColumnSummary) -> CategoryColumn:
    floor = rare_below(summary)
    kept = [(text, count) for text, count in summary.categories.sorted()[:MOST_VALUES] if count >= floor]
    return CategoryColumn(
        name=name,
        values=tuple(text for text, _ in kept),
        rare=sum(count for _, count in kept) < summary.categories.count,
        missing=summary.missing > 0,
    )


def rare_below(summary: ColumnSummary) -> int:
    """In how many train rows a value of a category occurs at least that has a feature of its own."""
    many = summary.train_rows >= RARE_FROM_ROWS and summary.categories.counts.max() >= RARE_BELOW
    return RARE_BELOW if many else 1


def _fit_timestamp(name: str, summary: ColumnSummary) -> TimestampColumn:
    times = summary.timestamps
    assert times is not None, "the schema checked it"
    varies = {
        "hour": times.earliest_s < times.latest_s,
        "weekday": np.count_nonzero(times.weekdays) > 1,
        "month": np.count_nonzero(times.months) > 1,
    }
    return TimestampColumn(
        name=name,
        parts=tuple(part for part, does in varies.items() if does),
        missing=times.count < summary.train_rows,
    )


_FITS: dict[FeatureType, Callable[[str, ColumnSummary], ColumnTransform]] = {
    "number": _fit_number,
    "boolean": _fit_boolean,
    "category": _fit_category,
    "timestamp": _fit_timestamp,
}
_KINDS: dict[str, type[Any]] = {
    "number": NumberColumn,
    "boolean": BooleanColumn,
    "category": CategoryColumn,
    "timestamp": TimestampColumn,
}


def column_to_json(column: ColumnTransform) -> dict[str, Any]:
    kind = next(kind for kind, cls in _KINDS.items() if isinstance(column, cls))
    return {"kind": kind} | asdict(column)


def column_from_json(data: dict[str, Any]) -> ColumnTransform:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    kind = values.pop("kind")
    column: ColumnTransform = _KINDS[kind](**values)
    return column
