"""The evaluation: what the kept scores of a test set add up to, for the candidate, the champion and the baselines.

It knows how scores become metrics; how rows become scores, and in which process, is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from raymill.metrics import Measured, Tally, measure
from raymill.record import record_of
from raymill.scores import scores_in, slice_column
from raymill.slices import Slices
from raymill.store import Store
from raymill.task import Task

MANIFEST = "evaluation.json"
TRACKED = "tracked.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What `evaluation.json` says: metrics of the candidate, the champion and the baselines on the same test rows.

    `slices` has those of the candidate by column and value, `slices_left_out` the number of values without any.
    """

    uri: str
    run: str
    digest: str
    dataset_fingerprint: str
    rows: int
    metrics: dict[str, float | None]
    reasons: dict[str, str]
    baselines: dict[str, dict[str, float | None]]
    slices: dict[str, dict[str, dict[str, Any]]]
    confusion: list[list[int]] | None
    champion_digest: str | None = None
    champion: dict[str, float | None] | None = None
    warnings: list[str] = field(default_factory=list)
    slices_left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, uri: str) -> Evaluation | None:
        store = Store(uri)
        return record_of(cls, store.read_json(MANIFEST), f"{store.uri}/{MANIFEST}") if store.exists(MANIFEST) else None

    def write(self) -> None:
        """Makes the evaluation exist; its scores must have been written."""
        Store(self.uri).write_json(MANIFEST, asdict(self))


def read_scores(uri: str, name: str) -> Iterator[tuple[np.ndarray, np.ndarray, pa.Table]]:
    """Each score shard of a scorer in row order: targets, scores, and the table they came in."""
    store = Store(uri)
    for file in store.files(name):
        table = store.read_table(file.path)
        yield *scores_in(table), table


def all_scores(uri: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """All targets and scores of a scorer, in row order."""
    shards = [(target, scores) for target, scores, _ in read_scores(uri, name)]
    return np.concatenate([t for t, _ in shards]), np.concatenate([s for _, s in shards])


def tally(uri: str, name: str, task: Task, slices: Sequence[str]) -> tuple[Tally, dict[str, Slices]]:
    """Sums over a scorer's shards, whole and by the most frequent values of each slice column."""
    whole = Tally(task)
    by_slice = {column: Slices.of(task, _values(uri, name, column)) for column in slices}
    for target, scores, table in read_scores(uri, name):
        whole.add(target, scores)
        for column, parts in by_slice.items():
            parts.add(table[slice_column(column)], target, scores)
    return whole, by_slice


def _values(uri: str, name: str, column: str) -> Iterator[pa.ChunkedArray]:
    store = Store(uri)
    for file in store.files(name):
        yield store.read_table(file.path, [slice_column(column)]).column(0)


def values_of(measured: Mapping[str, Measured]) -> dict[str, float | None]:
    return {name: m.value for name, m in measured.items()}


def reasons_of(measured: Mapping[str, Measured]) -> dict[str, str]:
    return {name: m.reason for name, m in measured.items() if m.reason is not None}


def measure_baselines(
    task: Task, baselines: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, dict[str, Measured]]:
    return {name: measure(task, target, scores) for name, (target, scores) in baselines.items()}
