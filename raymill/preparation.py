"""What preparing does to one piece of a source, and what the pieces add up to.

Three steps, each a pure function of a piece but for the shards that the last one writes: times are counted (for a
split by time), the piece is scanned, and it is written. Who calls them, where and in which order is not known here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raymill.cells import BadCell, plain, read
from raymill.errors import DataError
from raymill.piece import Piece
from raymill.prepared import Shard, shard_table, write_shard
from raymill.schema import Schema
from raymill.spec import TaskSpec
from raymill.split import SPLITS, Census, Split
from raymill.statistics import TableSummary
from raymill.store import Store
from raymill.target import encode_target
from raymill.task import Task
from raymill.time_cuts import TimeCounts
from raymill.transform import Transform

RAW_TEST = "raw_test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a first look at rows tells: who is in which split, and statistics of the train rows.

    `summary.rows` counts all rows, `census` those with a target.
    """

    census: Census
    summary: TableSummary

    def merge(self, other: Scan) -> Scan:
        """This scan followed by that of the next piece."""
        return Scan(census=self.census.merge(other.census), summary=self.summary.merge(other.summary))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that has been fitted on train rows and frozen, by which any piece becomes shards."""

    task: Task
    split: Split
    schema: Schema
    transform: Transform


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A piece's shards by folder (`train`, `validation`, `test`, `raw_test`); one without rows is not written.

    `classes` counts target classes by folder, `(classes,) int64`.
    """

    shards: dict[str, Shard]
    classes: dict[str, np.ndarray]


def count_times(piece: Piece, task: TaskSpec, column: str) -> TimeCounts:
    """How many of a piece's rows with a target have each time."""
    with _named(piece):
        table = piece.read(list(dict.fromkeys([column, task.column])))
        return TimeCounts.of(table[column].filter(pa.array(_has_target(task, table))), column)


def scan(piece: Piece, task: TaskSpec, split: Split) -> Scan:
    """Deals a piece's rows to splits and summarises its columns."""
    with _named(piece):
        table = piece.read()
        known = _has_target(task, table)
        splits = split.assign(table)
        census = Census.of(table.filter(pa.array(known)), splits[known])
        return Scan(census=census, summary=TableSummary.of(table, known & (splits == 0)))


def write(piece: Piece, recipe: Recipe, store: Store) -> Written:
    """Transforms a piece's rows and writes its shards to the dataset's store."""
    with _named(piece):
        table = piece.read()
        values, known = encode_target(recipe.task, table[recipe.task.target])
        splits = np.where(known, recipe.split.assign(table), -1)
        features = recipe.transform.apply(recipe.schema.conform(table))
    regression = recipe.task.kind == "regression"
    target = recipe.task.standardise(values) if regression else values.astype(np.int32)
    prepared = shard_table(recipe.transform.layout, features, target)
    tables = {name: prepared.filter(pa.array(splits == index)) for index, name in enumerate(SPLITS)}
    tables[RAW_TEST] = table.filter(pa.array(splits == SPLITS.index("test")))
    shards = {
        folder: write_shard(store, f"{folder}/{piece.name}.parquet", rows)
        for folder, rows in tables.items()
        if rows.num_rows
    }
    counts = {name: _count(values[splits == index], recipe.task) for index, name in enumerate(SPLITS)}
    return Written(shards=shards, classes=counts | {RAW_TEST: counts["test"]})


def _count(values: np.ndarray, task: Task) -> np.ndarray:
    indices = values.astype(np.int64) if task.kind == "classification" else np.zeros(0, np.int64)
    return np.bincount(indices, minlength=len(task.classes))


def _has_target(task: TaskSpec, table: pa.Table) -> np.ndarray:
    """Which rows have a target `(rows,) bool`, before its classes are known; DataError for what is no number."""
    column = table[task.column]
    if task.type == "classification" and isinstance(task.target, str):
        labels = read(plain(column), "category")
        assert not isinstance(labels, BadCell), "every cell is a category"
        known: np.ndarray = labels.is_valid().to_numpy(zero_copy_only=False)
        return known
    return encode_target(Task(kind="regression", target=task.column), column)[1]


@contextlib.contextmanager
def _named(piece: Piece) -> Iterator[None]:
    """Says in which file an error is, because a row is counted within its piece."""
    try:
        yield
    except DataError as error:
        if piece.parts[0].path in error.what:
            raise
        raise type(error)(f"In {piece.label}: {error.what}", error.fix) from error
