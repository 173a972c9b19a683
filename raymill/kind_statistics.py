"""Kind statistics: what the train cells of a column amount to, read as numbers, booleans or timestamps.

Each is made of distinct cells with the number of train rows that hold them, and merges with that of a later piece.
Categories have a sketch of their own in `raymill.sketch`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from raymill.sketch import Quantiles

_DAY_S = 86_400
# Of measurements one of the first is a fraction, so that the others need not be looked at.
_PROBED_CELLS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumberStatistics:
    """Moments and quantiles of the train cells that hold a number; `whole` speaks of all rows."""

    count: int
    mean: float
    m2: float = field(metadata={"unit": "sum of squared deviations from the mean"})
    minimum: float
    maximum: float
    whole: bool
    quantiles: Quantiles

    @classmethod
    def of(cls, numbers: pa.Array, counts: np.ndarray, *, whole: bool) -> NumberStatistics:
        """Of distinct numbers or nulls, `(n,) float64`, each in `counts` train rows."""
        values = numbers.to_numpy(zero_copy_only=False)
        present = ~np.isnan(values) & (counts > 0)
        weights = counts
        if not present.all():
            values, weights = values[present], counts[present]
        count = int(weights.sum())
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float((values * weights).sum() / count) if count else 0.0
            m2 = float((np.square(values - mean) * weights).sum())
        return cls(
            count=count,
            mean=mean,
            m2=m2,
            minimum=float(values.min(initial=np.inf)),
            maximum=float(values.max(initial=-np.inf)),
            whole=whole,
            quantiles=Quantiles.of(values, weights),
        )

    def merge(self, other: NumberStatistics) -> NumberStatistics:
        count = self.count + other.count
        share = other.count / count if count else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            apart = np.float64(other.mean) - self.mean
            mean = float(self.mean + apart * share)
            m2 = float(self.m2 + other.m2 + apart * apart * self.count * share)
        return NumberStatistics(
            count=count,
            mean=mean,
            m2=m2,
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
            whole=self.whole and other.whole,
            quantiles=self.quantiles.merge(other.quantiles),
        )

    @property
    def constant(self) -> bool:
        return self.minimum == self.maximum

    @property
    def sd(self) -> float:
        """The standard deviation of the population; 0 when there is no row."""
        return float(np.sqrt(self.m2 / self.count)) if self.count else 0.0


def are_whole(numbers: pa.Array) -> bool:
    """Whether all numbers of a column, `(rows,) float64`, but the missing ones are whole."""
    return all(_are_whole(numbers.slice(*part)) for part in ((0, _PROBED_CELLS), (_PROBED_CELLS,)))


def _are_whole(numbers: pa.Array) -> bool:
    values = numbers.to_numpy(zero_copy_only=False)
    return bool(np.all((values == np.floor(values)) | np.isnan(values)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BooleanStatistics:
    """Train cells that hold a truth value."""

    trues: int
    falses: int

    @classmethod
    def of(cls, booleans: pa.Array, counts: np.ndarray) -> BooleanStatistics:
        true = booleans.fill_null(False).to_numpy(zero_copy_only=False)
        false = ~booleans.fill_null(True).to_numpy(zero_copy_only=False)
        return cls(trues=int(counts[true].sum()), falses=int(counts[false].sum()))

    def merge(self, other: BooleanStatistics) -> BooleanStatistics:
        return BooleanStatistics(trues=self.trues + other.trues, falses=self.falses + other.falses)

    @property
    def count(self) -> int:
        return self.trues + self.falses

    @property
    def constant(self) -> bool:
        return not (self.trues and self.falses)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimestampStatistics:
    """Train cells that hold a time: extents in UTC, counts per weekday (Monday first) and per month."""

    count: int
    minimum_us: int
    maximum_us: int
    earliest_s: int = field(metadata={"unit": "seconds since midnight"})
    latest_s: int = field(metadata={"unit": "seconds since midnight"})
    weekdays: np.ndarray
    months: np.ndarray

    @classmethod
    def of(cls, timestamps: pa.Array, counts: np.ndarray) -> TimestampStatistics:
        present = (counts > 0) & timestamps.is_valid().to_numpy(zero_copy_only=False)
        times_us = timestamps.filter(pa.array(present)).cast(pa.int64()).to_numpy()
        weights = counts[present]
        seconds = times_us // 1_000_000 % _DAY_S
        return cls(
            count=int(weights.sum()),
            minimum_us=int(times_us.min(initial=2**63 - 1)),
            maximum_us=int(times_us.max(initial=-(2**63))),
            earliest_s=int(seconds.min(initial=_DAY_S)),
            latest_s=int(seconds.max(initial=-1)),
            weekdays=_weighted_bincount(weekdays(times_us), weights, 7),
            months=_weighted_bincount(months(times_us), weights, 12),
        )

    def merge(self, other: TimestampStatistics) -> TimestampStatistics:
        return TimestampStatistics(
            count=self.count + other.count,
            minimum_us=min(self.minimum_us, other.minimum_us),
            maximum_us=max(self.maximum_us, other.maximum_us),
            earliest_s=min(self.earliest_s, other.earliest_s),
            latest_s=max(self.latest_s, other.latest_s),
            weekdays=self.weekdays + other.weekdays,
            months=self.months + other.months,
        )

    @property
    def constant(self) -> bool:
        return self.minimum_us == self.maximum_us


def iso_time(time_us: int) -> str:
    """Microseconds since 1970 as ISO 8601, in any year: Python's own times end with the year 9999."""
    return str(np.datetime_as_string(np.datetime64(time_us, "us"))).removesuffix(".000000")


def weekdays(times_us: np.ndarray) -> np.ndarray:
    """`(n,) int64` microseconds since 1970 to days of the week, Monday 0."""
    # 1970-01-01 was a Thursday.
    result: np.ndarray = (times_us // (_DAY_S * 1_000_000) + 3) % 7
    return result


def months(times_us: np.ndarray) -> np.ndarray:
    """`(n,) int64` microseconds since 1970 to months, January 0."""
    result: np.ndarray = times_us.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12
    return result


def _weighted_bincount(indices: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(indices, weights=weights, minlength=size).astype(np.int64)
