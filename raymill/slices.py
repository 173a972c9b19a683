"""Slices: sums over the test rows that share a value of a column, for the values with most rows.

The values are counted first, in arrays, and only the rows of those kept are summed: a column of user ids has as many
values as rows. It knows columns of texts, targets and scores, and not where they come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymill.metrics import Tally
from raymill.task import Task

_MOST_SLICES = 50
_MISSING = "(missing)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """Tallies by value, those with most rows first and then by text; `left_out` says how many more values there are."""

    tallies: dict[str, Tally]
    left_out: int

    @classmethod
    def of(cls, task: Task, shards: Iterable[pa.ChunkedArray]) -> Slices:
        """Empty tallies for the 50 values of a column (strings) with most rows over all its shards."""
        counts = _counted(shards)
        order = [("rows", "descending"), ("value", "ascending")]
        kept = counts.take(pc.select_k_unstable(counts, _MOST_SLICES, order))["value"].to_pylist()
        return cls(tallies={value: Tally(task) for value in kept}, left_out=counts.num_rows - len(kept))

    def add(self, values: pa.ChunkedArray, target: np.ndarray, scores: np.ndarray) -> None:
        """Adds a shard's rows, each to the tally of its value, in row order."""
        kept = pa.array(list(self.tallies), pa.string())
        codes = pc.index_in(_present(values), value_set=kept).fill_null(len(kept)).to_numpy()
        order = np.argsort(codes, kind="stable")
        ends = np.searchsorted(codes[order], np.arange(len(kept) + 1))
        for tally, start, stop in zip(self.tallies.values(), ends, ends[1:], strict=False):
            tally.add(target[order[start:stop]], scores[order[start:stop]])

    def report(self) -> dict[str, dict[str, Any]]:
        """Rows and metrics by value; one that is undefined is None."""
        return {
            value: {"rows": tally.rows, **{name: measured.value for name, measured in tally.result().items()}}
            for value, tally in self.tallies.items()
        }


def _counted(shards: Iterable[pa.ChunkedArray]) -> pa.Table:
    """Each `value` with its `rows`; the counts of shards are merged when they are as many as those merged before."""
    merged = pa.table({"value": pa.array([], pa.string()), "rows": pa.array([], pa.int64())})
    waiting: list[pa.Table] = []
    for values in shards:
        counts = _present(values).value_counts()
        waiting.append(pa.table({"value": counts.field("values"), "rows": counts.field("counts")}))
        if sum(part.num_rows for part in waiting) >= merged.num_rows:
            merged, waiting = _merged([merged, *waiting]), []
    return _merged([merged, *waiting])


def _merged(parts: list[pa.Table]) -> pa.Table:
    grouped = pa.concat_tables(parts).group_by("value", use_threads=False).aggregate([("rows", "sum")])
    return grouped.select(["value", "rows_sum"]).rename_columns(["value", "rows"])


def _present(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.fill_null(_MISSING)
