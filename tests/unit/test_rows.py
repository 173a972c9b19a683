"""The row matrix holds a rank's rows bit for bit, whatever shards they came in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from raymill.errors import MachineError
from raymill.order import Order
from raymill.rows import RowMatrix
from tests.fakes import FakePrepared

CPU = torch.device("cpu")


def whole(prepared: FakePrepared, split: str = "train") -> pa.Table:
    return pa.concat_tables([shard.table for shard in prepared.splits[split].shards])


def numbers_of(table: pa.Table) -> np.ndarray:
    return np.column_stack([table[name].to_numpy() for name in ("a", "b", "c")])


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_cell_comes_back_as_it_was(kind: str, dtype: torch.dtype) -> None:
    prepared = FakePrepared(455, kind=kind)
    matrix = RowMatrix.load(prepared, "train", [(0, 455)], dtype)
    batch, table = matrix.span(0, 455, CPU), whole(prepared)
    assert len(matrix) == 455
    assert np.array_equal(batch.numbers.numpy(), numbers_of(table)) and batch.numbers.dtype == dtype
    assert np.array_equal(batch.categories[:, 0].numpy(), table["k"].to_numpy())
    assert np.array_equal(batch.target.numpy(), table["__target__"].to_numpy())
    assert batch.categories.dtype == torch.int64
    assert batch.target.dtype == (torch.int64 if kind == "classification" else dtype)


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 455])
@pytest.mark.parametrize("world_size", [1, 2, 3, 70])
def test_ranks_hold_the_rows_of_their_lanes_in_matrix_order(rows: int, world_size: int) -> None:
    prepared = FakePrepared(rows)
    expected = numbers_of(whole(prepared))
    for rank in range(world_size):
        order = Order(rows=rows, batch_size=10, seed=0, rank=rank, world_size=world_size)
        matrix = RowMatrix.load(prepared, "train", order.spans)
        mine = np.concatenate([np.arange(0), *(np.arange(*span) for span in order.spans)])
        assert np.array_equal(matrix.span(0, len(matrix), CPU).numbers.numpy(), expected[mine])


def test_a_gather_takes_rows_in_the_order_asked_for() -> None:
    prepared = FakePrepared(100)
    matrix = RowMatrix.load(prepared, "train", [(0, 100)])
    rows = np.array([99, 0, 42, 42])
    batch = matrix.gather(rows, CPU)
    assert np.array_equal(batch.numbers.numpy(), numbers_of(whole(prepared))[rows])
    assert np.array_equal(batch.target.numpy(), whole(prepared)["__target__"].to_numpy()[rows])


def test_no_rows_make_an_empty_batch() -> None:
    matrix = RowMatrix.load(FakePrepared(100), "train", [])
    batch = matrix.gather(np.zeros(0, np.int64), CPU)
    assert (len(matrix), batch.numbers.shape, batch.target.shape) == (0, (0, 3), (0,))


def test_only_shards_that_hold_wanted_rows_are_read() -> None:
    class Noting(FakePrepared):
        read_rows: list[int]

        def read(self, shard):
            self.read_rows.append(shard.rows)
            return shard.table

    prepared = Noting(100)
    prepared.read_rows = []
    RowMatrix.load(prepared, "train", [(20, 30)])
    assert prepared.read_rows == [19]


def test_special_floats_keep_their_bits() -> None:
    prepared = FakePrepared(3)
    special = np.array([np.nan, -0.0, np.inf], np.float32)
    shards = []
    for shard in prepared.splits["train"].shards:
        values = special[: shard.rows] if shard.rows else special[:0]
        table = shard.table.set_column(0, "a", pa.array(values))
        shards.append(type(shard)(rows=shard.rows, table=table))
        special = special[shard.rows :]
    prepared.splits["train"] = type(prepared.splits["train"])(rows=3, shards=tuple(shards))
    found = RowMatrix.load(prepared, "train", [(0, 3)]).span(0, 3, CPU).numbers[:, 0].numpy()
    assert np.array_equal(found.view(np.int32), np.array([np.nan, -0.0, np.inf], np.float32).view(np.int32))


def test_a_full_scratch_disk_is_the_machines_and_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/no/such/folder")
    with pytest.raises(MachineError, match="No room for 2,000 bytes of training rows in /proc/no/such/folder"):
        RowMatrix.load(FakePrepared(100), "train", [(0, 100)])
