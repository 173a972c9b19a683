"""The prepared dataset: immutable Parquet shards per split, and the manifest that makes them exist.

    datasets/<name>-<fingerprint[:12]>/
        train|validation|test/<piece>.parquet    a column per number, float32 or marks, int32 per category, __target__
        raw_test/<piece>.parquet                 the test rows as they were read
        done/<piece>.json                        what was written of a piece, while there is no manifest
        profile.json                             what each column looks like, for people
        manifest.json                            written last: without it there is no dataset

It knows files and their hashes, and nothing of how rows were read, split or transformed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from raymill.drift_reference import DriftReference
from raymill.errors import DataError
from raymill.layout import TARGET, Layout
from raymill.record import require_format
from raymill.schema import Schema
from raymill.store import Store, decode_table, encode_table
from raymill.task import Task
from raymill.transform import Features, Transform

FORMAT = 3
MANIFEST = "manifest.json"
PROFILE = "profile.json"
_ONE_BITS = np.float32(1).view(np.int32)
# Of most columns of numbers one of the first is no mark, so that the others need not be looked at.
_PROBED_CELLS = 1_000
_PREPARE_AGAIN = "Delete its folder and prepare again; the same source gives the same dataset."


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One Parquet file of a split, by its path in the dataset, with what a reader checks it by."""

    path: str
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitInfo:
    """A split's shards in row order; `classes` counts its rows by label, empty for a regression."""

    rows: int
    shards: tuple[Shard, ...]
    classes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SplitInfo:
        shards = tuple(Shard(**shard) for shard in data["shards"])
        return cls(rows=data["rows"], shards=shards, classes=dict(data["classes"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A prepared dataset's manifest: all that a later job needs to know to read it and to repeat its transform.

    `fingerprint` is of the inputs (source, task, split, key, features). `split` holds by, column, key, seed, shares,
    cuts and the split's own fingerprint, of which rows are where. A dataset of before there was a `drift_reference`
    has none.
    """

    uri: str
    name: str
    fingerprint: str
    task: Task
    schema: Schema
    transform: Transform
    layout: Layout
    splits: dict[str, SplitInfo]
    raw_test: SplitInfo
    split: dict[str, Any]
    source: str
    rows_read: int
    rows_without_target: int
    drift_reference: DriftReference | None = None

    @classmethod
    def open(cls, uri: str) -> Prepared:
        """Reads a dataset's manifest. Raises DataError where there is none, or one of another format."""
        store = Store(uri)
        if not store.exists(MANIFEST):
            raise DataError(f"There is no prepared dataset at {uri}.", "Run `raymill prepare SPEC` first.")
        data = require_format(store.read_json(MANIFEST), FORMAT, f"{store.uri}/{MANIFEST}")
        return cls(
            uri=store.uri,
            name=data["name"],
            fingerprint=data["fingerprint"],
            task=Task.from_json(data["task"]),
            schema=Schema.from_json(data["schema"]),
            transform=Transform.from_json(data["transform"]),
            layout=Layout.from_json(data["layout"]),
            splits={name: SplitInfo.from_json(split) for name, split in data["splits"].items()},
            raw_test=SplitInfo.from_json(data["raw_test"]),
            split=data["split"],
            source=data["source"],
            rows_read=data["rows_read"],
            rows_without_target=data["rows_without_target"],
            drift_reference=DriftReference.from_json(data.get("drift_reference")),
        )

    @property
    def store(self) -> Store:
        return Store(self.uri)

    def write_manifest(self) -> None:
        """Makes the dataset exist; everything that it names must have been written."""
        self.store.write_json(
            MANIFEST,
            {
                "format": FORMAT,
                "name": self.name,
                "fingerprint": self.fingerprint,
                "task": self.task.to_json(),
                "schema": self.schema.to_json(),
                "transform": self.transform.to_json(),
                "layout": self.layout.to_json(),
                "splits": {name: asdict(split) for name, split in self.splits.items()},
                "raw_test": asdict(self.raw_test),
                "split": self.split,
                "source": self.source,
                "rows_read": self.rows_read,
                "rows_without_target": self.rows_without_target,
                "drift_reference": self.drift_reference and self.drift_reference.to_json(),
            },
        )

    def raw_columns(self) -> list[str]:
        """The names of the columns that the raw test rows have."""
        shards = self.raw_test.shards
        return list(self.read(shards[0]).column_names) if shards else []

    def read(self, shard: Shard, columns: list[str] | None = None) -> pa.Table:
        """A shard's rows, or some columns of them. Raises DataError where it isn't what was written."""
        if self.store.stat(shard.path) is None:
            raise DataError(f"{self.uri}/{shard.path} is gone.", _PREPARE_AGAIN)
        data = self.store.read_bytes(shard.path)
        if len(data) != shard.size_bytes:
            found = f"has {len(data)} bytes, not {shard.size_bytes}"
        elif hashlib.sha256(data).hexdigest() != shard.sha256:
            found = "has other content than its hash in the manifest says"
        else:
            table = decode_table(data, columns)
            if table.num_rows == shard.rows:
                return table
            found = f"has {table.num_rows} rows, not {shard.rows}"
        raise DataError(f"{self.uri}/{shard.path} {found}.", _PREPARE_AGAIN)


def write_shard(store: Store, path: str, table: pa.Table) -> Shard:
    """Writes a table under a path of the dataset's store; the same table gives the same bytes."""
    data = encode_table(table)
    store.write_bytes(path, data)
    return Shard(path=path, rows=table.num_rows, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def shard_table(layout: Layout, features: Features, target: np.ndarray) -> pa.Table:
    """The columns of a prepared shard: numbers float32, categories int32, then the target `(rows,)` as it is.

    A column of marks, numbers that are all 0 or 1, is boolean: Parquet takes half the time over it. None has nulls.
    """
    names = [*layout.numbers, *(category.name for category in layout.categories), TARGET]
    columns = [*map(_compact, features.numbers.T), *features.categories.T, target]
    cells = [pa.array(np.ascontiguousarray(column)) for column in columns]
    fields = [pa.field(name, cell.type, nullable=False) for name, cell in zip(names, cells, strict=True)]
    return pa.table(cells, schema=pa.schema(fields))


def _compact(numbers: np.ndarray) -> np.ndarray:
    """A float32 column as it is, or as booleans if that loses nothing: by its bits, since -0 is another number."""
    bits = np.ascontiguousarray(numbers).view(np.int32)
    for part in (bits[:_PROBED_CELLS], bits[_PROBED_CELLS:]):
        if not ((part == 0) | (part == _ONE_BITS)).all():
            return numbers
    marks: np.ndarray = bits != 0
    return marks
