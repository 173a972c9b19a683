"""Times of rows, counted, and the two times at which they are cut into train, validation and test.

A time is a timestamp or a number; which of the two is a property of the whole column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymill.cell_error import CellError
from raymill.cells import BadCell, plain, read
from raymill.errors import DataError
from raymill.kind_statistics import iso_time

Clock = Literal["timestamp", "number"]
# Beyond this many distinct times neighbours count as the later one, which moves a share by 1 / 2**18 a merge.
_MOST_TIMES = 1 << 18
_REMEDY = "Correct data.split.column, or its cells."


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeCuts:
    """The last time of train and of validation, inclusive: microseconds since 1970 in UTC, or numbers."""

    clock: Clock
    train_end: float
    validation_end: float

    def assign(self, column: pa.ChunkedArray | pa.Array, name: str) -> np.ndarray:
        """Which split each row's time is in `(rows,) int8`: 0, 1 or 2; what a missing time gets means nothing."""
        times = _read_as(plain(column), self.clock, name)
        return np.searchsorted([self.train_end, self.validation_end], _numbers(times)).astype(np.int8)

    def to_json(self) -> dict[str, Any]:
        """The ends as ISO 8601 in UTC, or as numbers."""
        return {
            "clock": self.clock,
            "train_end": self._told(self.train_end),
            "validation_end": self._told(self.validation_end),
        }

    def _told(self, time: float) -> str | float:
        return iso_time(int(time)) if self.clock == "timestamp" else time


def ends_later(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Whether, of two cuts as JSON, the validation rows of theirs reach into our test rows, or may for all we know."""
    if theirs["clock"] != ours["clock"]:
        return True
    ends = (cuts["validation_end"] for cuts in (theirs, ours))
    after, before = ends if ours["clock"] == "number" else map(np.datetime64, ends)
    return bool(after > before)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimeCounts:
    """How many rows have each time: `times (n,) float64` ascending, `counts (n,) int64`; `missing` have none."""

    clock: Clock
    times: np.ndarray
    counts: np.ndarray
    missing: int

    @classmethod
    def of(cls, column: pa.ChunkedArray | pa.Array, name: str, counted: np.ndarray) -> TimeCounts:
        """Counts the times of one table's rows that are `counted (rows,) bool`.

        Raises DataError where a cell of any row is neither a timestamp nor a number.
        """
        cells = plain(column)
        clock = _clock(cells)
        read_times = _read_as(cells, clock, name).filter(pa.array(counted))
        found = pc.drop_null(read_times)
        times, counts = np.unique(_numbers(found), return_counts=True)
        return cls(clock=clock, times=times, counts=counts, missing=len(read_times) - len(found))

    def merge(self, other: TimeCounts, name: str) -> TimeCounts:
        """The counts of both; DataError where one holds timestamps and the other numbers."""
        if len(self.times) and len(other.times) and self.clock != other.clock:
            raise DataError(f"Column {name!r} holds timestamps in one place and numbers in another.", _REMEDY)
        times, place = np.unique(np.concatenate([self.times, other.times]), return_inverse=True)
        counts = np.zeros(len(times), dtype=np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, other.counts]))
        clock = self.clock if len(self.times) else other.clock
        return TimeCounts(clock=clock, **_thinned(times, counts), missing=self.missing + other.missing)

    def cut(self, train: float, validation: float, name: str) -> TimeCuts:
        """The cuts whose shares of rows come nearest to those asked for, with rows in every split.

        Raises DataError for missing times, and for fewer than three distinct ones.
        """
        if self.missing:
            raise DataError(
                f"{self.missing} rows have no time in column {name!r}, so no split by time can place them.",
                "Fill them in, leave the rows out, or choose another data.split.",
            )
        if len(self.times) < 3:
            raise DataError(
                f"Column {name!r} has {len(self.times)} distinct times; train, validation and test need three.",
                "Choose a finer time column or another data.split.",
            )
        reached = np.cumsum(self.counts)
        last = len(self.times) - 1
        first_end = min(_nearest(reached, train * reached[-1]), last - 2)
        second_end = min(max(_nearest(reached, (train + validation) * reached[-1]), first_end + 1), last - 1)
        return TimeCuts(
            clock=self.clock,
            train_end=float(self.times[first_end]),
            validation_end=float(self.times[second_end]),
        )


def _clock(cells: pa.Array) -> Clock:
    """What all cells can be read as; else what the more of the first ones can, so that the bad one is blamed."""
    times = read(cells, "timestamp")
    if not isinstance(times, BadCell):
        return "timestamp"
    numbers = read(cells, "number")
    return "timestamp" if isinstance(numbers, BadCell) and numbers.row <= times.row else "number"


def _read_as(cells: pa.Array, clock: Clock, name: str) -> pa.Array:
    times = read(cells, clock)
    if isinstance(times, BadCell):
        raise CellError(f"Column {name!r} gives the time, but", times.row, f" holds {times.value!r}.", _REMEDY)
    return times


def _numbers(times: pa.Array) -> np.ndarray:
    """Times as `(rows,) float64`, exact for microseconds until the year 2255; missing ones as 0."""
    plain_numbers = times.cast(pa.int64()) if pa.types.is_timestamp(times.type) else times
    values: np.ndarray = plain_numbers.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _thinned(times: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    if len(times) <= _MOST_TIMES:
        return {"times": times, "counts": counts}
    reached = np.cumsum(counts)
    ends = np.unique(np.searchsorted(reached, np.linspace(0, reached[-1], _MOST_TIMES // 2 + 1)[1:]))
    return {"times": times[ends], "counts": np.diff(reached[ends], prepend=0)}


def _nearest(reached: np.ndarray, rows: float) -> int:
    """The index whose cumulative count is nearest to a number of rows, the earlier one of two."""
    after = min(int(np.searchsorted(reached, rows)), len(reached) - 1)
    before = max(after - 1, 0)
    return before if rows - reached[before] <= reached[after] - rows else after
