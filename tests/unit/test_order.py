"""Which rows make a step depends on the seed, the epoch and the step, and on nothing else."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from raymill.order import LANES, Order

ROW_COUNTS = [0, 1, 5, 63, 64, 65, 455, 1000, 10007]
WORLD_SIZES = [1, 2, 3, 7, 70]
WINDOWED_ROWS = 600_000  # over 8,192 in a lane


def order(rows: int, batch_size: int = 100, world_size: int = 1, rank: int = 0, seed: int = 3) -> Order:
    return Order(rows=rows, batch_size=batch_size, seed=seed, rank=rank, world_size=world_size)


def held(mine: Order) -> np.ndarray:
    """The rows of the split in this rank's row matrix, in matrix order."""
    return np.concatenate([np.arange(0), *(np.arange(start, stop) for start, stop in mine.spans)])


def shares(rows: int, batch_size: int, world_size: int, epoch: int = 0) -> list[list[np.ndarray]]:
    """For each step, the rows of the split that each rank takes."""
    ranks = [order(rows, batch_size, world_size, rank) for rank in range(world_size)]
    epochs = [(held(mine), mine.epoch(epoch)) for mine in ranks]
    return [[matrix[taken.step(step)] for matrix, taken in epochs] for step in range(ranks[0].steps)]


def batches(rows: int, batch_size: int, world_size: int = 1, epoch: int = 0) -> list[np.ndarray]:
    """The global batches, each as a sorted set."""
    return [np.sort(np.concatenate(step)) for step in shares(rows, batch_size, world_size, epoch)]


@pytest.mark.parametrize("rows", ROW_COUNTS)
@pytest.mark.parametrize("world_size", WORLD_SIZES)
@pytest.mark.parametrize("batch_size", [1, 7, 64, 100, 20_000])
def test_every_row_is_taken_once_in_an_epoch(rows: int, world_size: int, batch_size: int) -> None:
    ranks = [order(rows, batch_size, world_size, rank) for rank in range(world_size)]
    taken = [held(mine)[mine.epoch(1).rows] for mine in ranks]
    assert np.array_equal(np.sort(np.concatenate(taken)), np.arange(rows))


@pytest.mark.parametrize("rows", ROW_COUNTS)
@pytest.mark.parametrize("batch_size", [7, 64, 100, 20_000])
def test_global_batches_are_the_same_for_any_world_size(rows: int, batch_size: int) -> None:
    alone = batches(rows, batch_size)
    for world_size in WORLD_SIZES[1:]:
        together = batches(rows, batch_size, world_size)
        assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_an_order_takes_less_memory_than_two_numbers_of_64_bits_a_row() -> None:
    rows = 2_000_000
    tracemalloc.start()
    order(rows, 4096).epoch(0)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 16 * rows


@pytest.mark.parametrize("rows", ROW_COUNTS)
@pytest.mark.parametrize("batch_size", [1, 7, 64, 100, 20_000])
def test_every_batch_is_full_but_the_last(rows: int, batch_size: int) -> None:
    sizes = [len(batch) for batch in batches(rows, batch_size)]
    assert all(size == batch_size for size in sizes[:-1])
    assert sum(sizes) == rows
    assert sizes == [order(rows, batch_size).batch_rows(step) for step in range(len(sizes))]


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_every_rank_has_the_same_number_of_steps(world_size: int) -> None:
    for rank in range(world_size):
        mine = order(1000, 64, world_size, rank)
        assert mine.steps == 16
        assert len(mine.epoch(0).starts) == 17


@pytest.mark.parametrize("rows", [1000, WINDOWED_ROWS])
def test_rows_in_windows_are_all_taken_by_the_same_batches(rows: int) -> None:
    alone, together = batches(rows, 50_000), batches(rows, 50_000, 3)
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert np.array_equal(np.sort(np.concatenate(alone)), np.arange(rows))


def test_windows_keep_a_batch_in_few_places_of_a_long_lane() -> None:
    mine = order(WINDOWED_ROWS, batch_size=1024)
    first_lane_rows = WINDOWED_ROWS // LANES
    lane = np.sort(batches(WINDOWED_ROWS, 1024)[0])
    lane = lane[lane < first_lane_rows]
    assert len(mine.spans) == LANES
    assert lane.max() // 8192 == lane.min() // 8192


def test_another_epoch_is_another_order() -> None:
    assert not np.array_equal(order(1000).epoch(0).rows, order(1000).epoch(1).rows)


def test_another_seed_is_another_order() -> None:
    assert not np.array_equal(order(1000).epoch(0).rows, order(1000, seed=4).epoch(0).rows)


def test_the_same_seed_and_epoch_are_the_same_order() -> None:
    assert np.array_equal(order(1000).epoch(5).rows, order(1000).epoch(5).rows)


def test_the_largest_seed_will_do() -> None:
    assert len(order(100, seed=2**63 - 1).epoch(2**31).rows) == 100


def test_a_batch_draws_from_all_lanes_alike() -> None:
    lanes = batches(6400, 128)[3] // 100
    assert np.array_equal(np.bincount(lanes, minlength=LANES), np.full(LANES, 2))


def test_ranks_share_a_batch_nearly_alike() -> None:
    for step in shares(64_000, 256, 4):
        assert all(abs(len(share) - 64) <= 48 for share in step)


def test_every_row_is_as_likely_to_come_early() -> None:
    positions = np.zeros(1000)
    for epoch in range(400):
        positions[order(1000).epoch(epoch).rows] += np.arange(1000)
    mean = positions / 400
    assert abs(mean - 499.5).max() < 5 * 1000 / np.sqrt(12 * 400)


def test_the_order_is_frozen_so_that_a_run_continues_under_a_later_version() -> None:
    assert order(10, batch_size=4, seed=7).epoch(2).rows.tolist() == [3, 1, 4, 9, 7, 6, 8, 5, 0, 2]
