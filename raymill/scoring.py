"""Scoring: each raw test row scored once by each bundle that is judged, shard by shard, the scores kept.

It knows how one shard is scored; which process scores which shard, and what scores add up to, is elsewhere.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raymill.errors import DataError
from raymill.predictor import Predictor
from raymill.prepared import Prepared, Shard
from raymill.scores import score_table
from raymill.store import Store
from raymill.target import encode_target
from raymill.task import Task


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
