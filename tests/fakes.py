"""Small stand-ins that tests pass in: a prepared dataset in memory, and a clock that moves when told."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raymill.layout import CategoryFeature, Layout
from raymill.task import Task


@dataclass(frozen=True)
class FakeShard:
    rows: int
    table: pa.Table


@dataclass(frozen=True)
class FakeSplit:
    rows: int
    shards: tuple[FakeShard, ...]


class FakePrepared:
    """A prepared dataset with two numbers, one category and a learnable target, in shards of uneven size."""

    def __init__(self, train: int, validation: int = 50, kind: str = "classification", seed: int = 0) -> None:
        self.layout = Layout(numbers=("a", "b", "c"), categories=(CategoryFeature(name="k", size=5),))
        classes = ("no", "yes") if kind == "classification" else ()
        self.task = Task(kind=kind, target="y", classes=classes)
        rng = np.random.default_rng(seed)
        self.splits = {"train": self._split(rng, train), "validation": self._split(rng, validation)}

    def _split(self, rng: np.random.Generator, rows: int) -> FakeSplit:
        numbers = rng.normal(size=(rows, 3)).astype(np.float32)
        category = rng.integers(0, 5, rows).astype(np.int32)
        signal = numbers[:, 0] - 0.5 * numbers[:, 1] + 0.3 * category + 0.1 * rng.normal(size=rows)
        target = (signal > 0.5).astype(np.int32) if self.task.kind == "classification" else signal.astype(np.float32)
        columns = {name: numbers[:, i] for i, name in enumerate(self.layout.numbers)}
        table = pa.table(columns | {"k": category, "__target__": target})
        cuts = [0, rows // 7, rows // 3, rows]
        shards = [table.slice(a, b - a) for a, b in itertools.pairwise(cuts)]
        return FakeSplit(rows=rows, shards=tuple(FakeShard(rows=s.num_rows, table=s) for s in shards))

    def read(self, shard: FakeShard) -> pa.Table:
        return shard.table
