"""The evaluation: every raw test row scored once by a bundle, the scores kept, and what they add up to.

It knows how one shard is scored and how scores become metrics; which process scores which shard is elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymill.errors import DataError
from raymill.metrics import Measured, Tally, measure
from raymill.predictor import Predictor
from raymill.prepared import Prepared, Shard
from raymill.record import record_of
from raymill.scores import score_table, scores_in
from raymill.store import Store
from raymill.target import encode_target
from raymill.task import Task

MANIFEST = "evaluation.json"
_MOST_SLICES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """A bundle to be scored, under the name that its scores are kept by."""

    name: str
    uri: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreShard:
    """One piece of an evaluation: one raw test shard, all scorers."""

    dataset_uri: str
    shard: Shard
    scorers: tuple[Scorer, ...]
    slices: tuple[str, ...]
    into: str

    def __call__(self) -> int:
        """Scores the shard's rows and writes a score shard per scorer; returns the rows. Repeating it is harmless."""
        prepared = _prepared(self.dataset_uri)
        raw = prepared.read(self.shard)
        target, valid = encode_target(prepared.task, raw.column(prepared.task.target))
        assert valid.all()
        for scorer in self.scorers:
            predictor = _predictor(scorer.uri, scorer.digest)
            scores = _aligned(predictor.predict(raw), predictor.task, prepared.task)
            path = f"{scorer.name}/{self.shard.path.rpartition('/')[2]}"
            table = score_table(target, scores)
            for name in self.slices:
                table = table.append_column(f"slice:{name}", raw.column(name).cast(pa.string()))
            Store(self.into).write_table(path, table)
        return len(target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What `evaluation.json` says: metrics of the candidate, the champion and the baselines on the same test rows."""

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


def tally(uri: str, name: str, task: Task, slices: Sequence[str]) -> tuple[Tally, dict[str, dict[str, Tally]]]:
    """Sums over a scorer's shards, whole and by the values of each slice column."""
    whole = Tally(task)
    by_slice: dict[str, dict[str, Tally]] = {column: {} for column in slices}
    for target, scores, table in read_scores(uri, name):
        whole.add(target, scores)
        for column in slices:
            values = table.column(f"slice:{column}").fill_null("(missing)")
            for value in pc.unique(values).to_pylist():
                mask = pc.equal(values, value).to_numpy(zero_copy_only=False)
                by_slice[column].setdefault(value, Tally(task)).add(target[mask], scores[mask])
    return whole, by_slice


def slice_report(by_slice: Mapping[str, Mapping[str, Tally]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Metrics per slice value: the 50 values with most rows of each column."""
    report: dict[str, dict[str, dict[str, Any]]] = {}
    for column, tallies in by_slice.items():
        largest = sorted(tallies, key=lambda value: (-tallies[value].rows, value))[:_MOST_SLICES]
        report[column] = {
            value: {"rows": tallies[value].rows, **values_of(tallies[value].result())} for value in largest
        }
    return report


def values_of(measured: Mapping[str, Measured]) -> dict[str, float | None]:
    return {name: m.value for name, m in measured.items()}


def reasons_of(measured: Mapping[str, Measured]) -> dict[str, str]:
    return {name: m.reason for name, m in measured.items() if m.reason is not None}


def measure_baselines(
    task: Task, baselines: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, dict[str, Measured]]:
    return {name: measure(task, target, scores) for name, (target, scores) in baselines.items()}


def _aligned(scores: np.ndarray, own: Task, wanted: Task) -> np.ndarray:
    """A bundle's scores in the class order of the test set's task; a class that it doesn't know gets 0."""
    if (own.kind, own.target, own.at_least) != (wanted.kind, wanted.target, wanted.at_least):
        raise DataError(
            f"The champion's task is {_worded(own)}, the candidate's {_worded(wanted)}: no rows can compare them.",
            "Give the new task another `name:`.",
        )
    if own.classes == wanted.classes:
        return scores
    aligned = np.zeros((len(scores), len(wanted.classes)))
    for index, label in enumerate(wanted.classes):
        if label in own.classes:
            aligned[:, index] = scores[:, own.classes.index(label)]
    return aligned


def _worded(task: Task) -> str:
    return f"{task.kind} of {task.target}" + ("" if task.at_least is None else f" at least {task.at_least:g}")


@functools.lru_cache(maxsize=4)
def _predictor(uri: str, digest: str) -> Predictor:
    return Predictor.load(uri, digest)


@functools.lru_cache(maxsize=1)
def _prepared(uri: str) -> Prepared:
    return Prepared.open(uri)
