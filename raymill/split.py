"""The split: which of train, validation and test a row belongs to, by its own cells and nothing else.

random: by a hash of the key columns, or of the whole row. group: by a hash of the group. time: by two frozen times.
So adding, removing or permuting rows moves no other row, and equal rows, groups and times stay together. A hash
gives every class the same expected share, which is how a random split is stratified: near the shares for a class of
many rows, while one of few may miss a split, even train (`raymill.class_rows` says which). To deal by class instead
would let a new row move old ones.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from raymill.cell_error import CellError
from raymill.cells import BadCell, plain, read
from raymill.row_hash import hash_rows, mix, uniform
from raymill.spec import DataSpec
from raymill.time_cuts import TimeCuts

SPLITS = ("train", "validation", "test")
_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A frozen assignment of rows to splits; `train` and `validation` are shares, the rest is test."""

    by: Literal["random", "group", "time"]
    column: str | None
    key: tuple[str, ...]
    seed: int
    train: float
    validation: float
    cuts: TimeCuts | None = None

    @classmethod
    def of(cls, data: DataSpec, cuts: TimeCuts | None = None) -> Split:
        """The split that a spec asks for; one by time needs its cuts."""
        asked = data.split
        return cls(
            by=asked.by,
            column=asked.column,
            key=data.key,
            seed=asked.seed,
            train=asked.train,
            validation=asked.validation,
            cuts=cuts,
        )

    def assign(self, table: pa.Table, hashes: np.ndarray) -> np.ndarray:
        """An index into SPLITS for each row of a raw table `(rows,) int8`, given the rows' hashes `(rows,) uint64`."""
        if self.cuts is not None and self.column is not None:
            return self.cuts.assign(table[self.column], self.column)
        places = uniform(self.identities(table, hashes), self.seed)
        return np.searchsorted([self.train, self.train + self.validation], places, side="right").astype(np.int8)

    def identities(self, table: pa.Table, hashes: np.ndarray) -> np.ndarray:
        """What keeps rows together, `(rows,) uint64`: a hash of the group, of the key, or that of the whole row."""
        keys = self.key if self.column is None else (self.column,)
        if not keys:
            return hashes
        return hash_rows([_identity(table[name], name) for name in keys], table.num_rows)

    def to_json(self) -> dict[str, Any]:
        """What the manifest says of the split, but for its fingerprint."""
        return {
            "by": self.by,
            "column": self.column,
            "key": list(self.key),
            "seed": self.seed,
            "shares": {
                "train": self.train,
                "validation": self.validation,
                "test": round(1 - self.train - self.validation, 9),
            },
            "cuts": None if self.cuts is None else self.cuts.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Which rows are in which split, in any order: rows per split and a sum of hashes, both mergeable."""

    rows: tuple[int, int, int] = (0, 0, 0)
    mark: int = 0

    @classmethod
    def of(cls, hashes: np.ndarray, splits: np.ndarray) -> Census:
        """Counts rows by their split `(rows,) int8`, and sums hashes of whole row, `(rows,) uint64`, and split."""
        mark = int(mix(hashes + splits.astype(np.uint64)).sum(dtype=np.uint64))
        train, validation, test = np.bincount(splits, minlength=len(SPLITS)).tolist()
        return cls(rows=(train, validation, test), mark=mark)

    def merge(self, other: Census) -> Census:
        train, validation, test = (mine + theirs for mine, theirs in zip(self.rows, other.rows, strict=True))
        return Census(rows=(train, validation, test), mark=(self.mark + other.mark) & _MASK)

    @property
    def fingerprint(self) -> str:
        """Equal where the same rows are in the same splits, in whatever order and pieces they were counted."""
        return hashlib.sha256(f"{self.rows} {self.mark}".encode()).hexdigest()


def _identity(column: pa.ChunkedArray | pa.Array, name: str) -> pa.Array:
    """Key cells as the texts that a category would have: 7 and 7.0 are one, and so are all missing cells."""
    cells = plain(column)
    if pa.types.is_float32(cells.type):
        # As which it is read once a file of wider floats lies beside this one.
        cells = cells.cast(pa.float64())
    texts = read(cells, "category")
    if isinstance(texts, BadCell):
        raise CellError(
            f"Column {name!r} says which rows stay together, but",
            texts.row,
            f" holds {texts.value}, which is no text.",
            "Write the column as texts or numbers, or name another one.",
        )
    return texts
