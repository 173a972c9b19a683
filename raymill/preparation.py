"""What preparing does to one piece of a source, and what the pieces add up to.

Three steps, each a pure function of a piece but for the shards that the last one writes: times are counted (for a
split by time), the piece is scanned, and it is written. Who calls them, where and in which order is not known here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raymill import __version__
from raymill.cells import BadCell, plain, read, texts
from raymill.class_rows import ClassRows
from raymill.piece import Piece
from raymill.prepared import Shard, shard_table, write_shard
from raymill.row_hash import hash_rows
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
DONE = "done"
MOST_IDENTITIES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a first look at rows tells: who is in which split, and statistics of the train rows.

    `summary.rows` counts all rows, `piece_rows` those of each piece, `census` those with a target, `classes` those
    with one that is a class by itself.
    """

    census: Census
    summary: TableSummary
    classes: ClassRows
    piece_rows: tuple[int, ...]

    def merge(self, other: Scan) -> Scan:
        """This scan followed by that of the next piece."""
        return Scan(
            census=self.census.merge(other.census),
            summary=self.summary.merge(other.summary),
            classes=self.classes.merge(other.classes),
            piece_rows=self.piece_rows + other.piece_rows,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that has been fitted on train rows and frozen, by which any piece becomes shards."""

    task: Task
    split: Split
    schema: Schema
    transform: Transform

    @property
    def fingerprint(self) -> str:
        """Of all that decides what a piece becomes: what is frozen here and raymill's own version."""
        parts = [part.to_json() for part in (self.task, self.split, self.schema, self.transform)]
        return hashlib.sha256(json.dumps([__version__, parts], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A piece's shards by folder (`train`, `validation`, `test`, `raw_test`); one without rows is not written.

    `classes` counts target classes by folder, `census` is of the rows that were read to be written.
    """

    shards: dict[str, Shard]
    classes: dict[str, list[int]]
    census: Census

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Written:
        census = Census(rows=tuple(data["census"]["rows"]), mark=data["census"]["mark"])
        shards = {folder: Shard(**shard) for folder, shard in data["shards"].items()}
        return cls(shards=shards, classes=data["classes"], census=census)


def count_times(piece: Piece, task: TaskSpec, column: str) -> TimeCounts:
    """How many of a piece's rows with a target have each time."""
    with piece.naming():
        table = piece.read(list(dict.fromkeys([column, task.column])))
        return TimeCounts.of(table[column], column, _has_target(task, table))


def scan(piece: Piece, task: TaskSpec, split: Split) -> Scan:
    """Deals a piece's rows to splits and summarises its columns."""
    with piece.naming():
        table = piece.read_coded()
        known = _has_target(task, table)
        hashes = hash_rows(table.columns, table.num_rows)
        splits = split.assign(table, hashes)
        return Scan(
            census=Census.of(hashes[known], splits[known]),
            summary=TableSummary.of(table, known & (splits == 0)),
            classes=_class_rows(task, table, known, splits),
            piece_rows=(table.num_rows,),
        )


def identities(piece: Piece, task: TaskSpec, split: Split) -> np.ndarray:
    """The smallest 1,000 identities, by which a split keeps rows together, of a piece's rows with a target."""
    with piece.naming():
        table = piece.read()
        found = split.identities(table, hash_rows(table.columns, table.num_rows))
        return np.unique(found[_has_target(task, table)])[:MOST_IDENTITIES]


def write_once(piece: Piece, recipe: Recipe, store: Store) -> Written:
    """Writes a piece's shards, unless a prepare that died had written them by the same recipe; then says so."""
    path = f"{DONE}/{piece.name}.json"
    if store.exists(path):
        found = store.read_json(path)
        if found["recipe"] == recipe.fingerprint:
            return Written.from_json(found["written"])
    written = write(piece, recipe, store)
    store.write_json(path, {"recipe": recipe.fingerprint, "written": asdict(written)})
    return written


def write(piece: Piece, recipe: Recipe, store: Store) -> Written:
    """Transforms a piece's rows and writes its shards to the dataset's store."""
    with piece.naming():
        table = piece.read_coded()
        values, known = encode_target(recipe.task, table[recipe.task.target])
        hashes = hash_rows(table.columns, table.num_rows)
        splits = np.where(known, recipe.split.assign(table, hashes), np.int8(-1))
        census = Census.of(hashes[known], splits[known])
        conformed = recipe.schema.conform(table)
    shards = {}
    for folder, rows in _parts(recipe, table, conformed, values, splits):
        if folder == RAW_TEST:
            rows = rows.cast(piece.schema)  # texts again, as they were read
        if rows.num_rows:
            shards[folder] = write_shard(store, f"{folder}/{piece.name}.parquet", rows)
    counts = {name: _count(values[splits == index], recipe.task) for index, name in enumerate(SPLITS)}
    return Written(shards=shards, classes=counts | {RAW_TEST: counts["test"]}, census=census)


def _parts(
    recipe: Recipe, table: pa.Table, conformed: pa.Table, values: np.ndarray, splits: np.ndarray
) -> Iterator[tuple[str, pa.Table]]:
    """What is written, by folder, one at a time: they would need twice the memory together."""
    for index, name in enumerate(SPLITS):
        mine = splits == index
        yield name, _prepared(recipe, conformed.filter(pa.array(mine)), values[mine])
    yield RAW_TEST, table.filter(pa.array(splits == SPLITS.index("test")))


def _prepared(recipe: Recipe, conformed: pa.Table, values: np.ndarray) -> pa.Table:
    """Conformed rows as shards hold them, given their targets in own units or class indices `(rows,)`."""
    regression = recipe.task.kind == "regression"
    target = recipe.task.standardise(values) if regression else values.astype(np.int32)
    return shard_table(recipe.transform.layout, recipe.transform.apply(conformed, order="F"), target)


def _count(values: np.ndarray, task: Task) -> list[int]:
    indices = values.astype(np.int64) if task.kind == "classification" else np.zeros(0, np.int64)
    counts: list[int] = np.bincount(indices, minlength=len(task.classes)).tolist()
    return counts


def _class_rows(task: TaskSpec, table: pa.Table, known: np.ndarray, splits: np.ndarray) -> ClassRows:
    """Of a target whose labels are the classes; of any other, none."""
    if task.type != "classification" or not isinstance(task.target, str):
        return ClassRows()
    labels = texts(plain(table[task.target]))
    return ClassRows.of(labels.filter(pa.array(known)), splits[known])


def _has_target(task: TaskSpec, table: pa.Table) -> np.ndarray:
    """Which rows have a target `(rows,) bool`, before its classes are known; DataError for what is no number."""
    column = table[task.column]
    if task.type == "classification" and isinstance(task.target, str):
        labels = read(plain(column), "category")
        assert not isinstance(labels, BadCell), "every cell is a category"
        known: np.ndarray = labels.is_valid().to_numpy(zero_copy_only=False)
        return known
    return encode_target(Task(kind="regression", target=task.column), column)[1]
