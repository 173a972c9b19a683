"""Scoring: each raw test row scored once by each bundle that is judged, shard by shard, the scores kept.

It knows how one shard is scored; which process scores which shard, and what scores add up to, is elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raymill.bundle import Bundle
from raymill.errors import DataError
from raymill.predictor import Predictor
from raymill.prepared import Prepared, Shard
from raymill.scores import score_table, slice_column
from raymill.store import Store
from raymill.target import encode_target
from raymill.task import Task

_NAMED_CLASSES = 5


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
            scores = aligned(predictor.predict(raw), predictor.task, prepared.task)
            path = f"{scorer.name}/{self.shard.path.rpartition('/')[2]}"
            table = score_table(target, scores)
            for name in self.slices:
                table = table.append_column(slice_column(name), _texts(raw, name))
            Store(self.into).write_table(path, table)
        return len(target)


def _texts(raw: pa.Table, name: str) -> pa.ChunkedArray:
    try:
        return raw.column(name).cast(pa.string())
    except pa.ArrowInvalid as error:
        raise DataError(
            f"Column {name!r} can't be sliced by: it holds bytes that are no text.", "Take it out of evaluate.slices."
        ) from error


def require_comparable(champion: Bundle, version: int, prepared: Prepared) -> None:
    """Raises DataError where a champion's scores of a dataset's test rows would say nothing, or can't be had."""
    own, wanted = champion.task, prepared.task
    if own.question != wanted.question:
        raise _incomparable(version, f"its task is {own.question_in_words}, not {wanted.question_in_words}")
    columns = prepared.raw_columns()
    absent = [name for name in champion.schema.kinds if name not in columns]
    if absent:
        raise _incomparable(version, f"it needs the column {absent[0]!r}, which the table doesn't have")
    kinds = prepared.schema.kinds
    for name, kind in champion.schema.kinds.items():
        if kind != "category" and kinds.get(name, kind) != kind:
            raise _incomparable(version, f"it reads {name!r} as a {kind}, and the column is a {kinds[name]} now")
    if own.classes and not set(own.classes) & set(wanted.classes):
        raise _incomparable(version, f"its classes are {_some(own.classes)}, and none of {_some(wanted.classes)}")


def _incomparable(version: int, reason: str) -> DataError:
    return DataError(
        f"The champion, version {version}, can't be compared on these test rows: {reason}.",
        "Give the new model another `name:`; or take the alias champion from that version in MLflow, to begin anew.",
    )


def _some(classes: Sequence[str]) -> str:
    return ", ".join(classes[:_NAMED_CLASSES]) + (", ..." if len(classes) > _NAMED_CLASSES else "")


def aligned(scores: np.ndarray, own: Task, wanted: Task) -> np.ndarray:
    """A bundle's scores in the class order of the test set's task; a class that it doesn't know gets 0."""
    if own.classes == wanted.classes:
        return scores
    aligned = np.zeros((len(scores), len(wanted.classes)))
    for index, label in enumerate(wanted.classes):
        if label in own.classes:
            aligned[:, index] = scores[:, own.classes.index(label)]
    return aligned


@functools.lru_cache(maxsize=4)
def _predictor(uri: str, digest: str) -> Predictor:
    return Predictor.load(uri, digest)


@functools.lru_cache(maxsize=1)
def _prepared(uri: str) -> Prepared:
    return Prepared.open(uri)
