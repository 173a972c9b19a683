import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from raymill.metrics import measure
from raymill.slices import Slices
from raymill.task import Task

TASK = Task(kind="regression", target="y")
RNG = np.random.default_rng(5)


def _sliced(values: list[str | None], shards: int, task: Task = TASK, scores: np.ndarray | None = None) -> Slices:
    """The slices of rows whose target is their place, cut into shards."""
    column = pa.chunked_array([values], pa.string())
    target = np.arange(len(values))
    scores = target * 1.5 if scores is None else scores
    cuts = np.array_split(target, shards)
    slices = Slices.of(task, (column.take(pa.array(cut)) for cut in cuts))
    for cut in cuts:
        slices.add(column.take(pa.array(cut)), target[cut] % 2 if task.classes else target[cut] * 1.0, scores[cut])
    return slices


@pytest.mark.parametrize("shards", [1, 7])
def test_a_slice_measures_the_rows_of_its_value_whatever_the_shards(shards: int) -> None:
    task = Task(kind="classification", target="y", classes=("no", "yes"))
    values = RNG.choice(["a", "b", "c"], 1_000)
    scores = RNG.uniform(size=1_000)
    both = np.column_stack([1 - scores, scores])
    report = _sliced(values.tolist(), shards, task, both).report()
    for value in "abc":
        rows = np.flatnonzero(values == value)
        expected = {name: found.value for name, found in measure(task, rows % 2, both[rows]).items()}
        assert report[value] == pytest.approx({"rows": len(rows), **expected})


@pytest.mark.parametrize("shards", [1, 3, 60])
def test_the_values_with_most_rows_are_kept_in_order_and_the_others_counted(shards: int) -> None:
    values = [f"v{i:02d}" for i in range(60) for _ in range(2 + i // 2)]
    slices = _sliced(RNG.permutation(values).tolist(), shards)
    most = sorted(set(values), key=lambda value: (-values.count(value), value))[:50]
    assert [(value, part["rows"]) for value, part in slices.report().items()] == [(v, values.count(v)) for v in most]
    assert slices.left_out == 10


def test_missing_cells_are_a_slice() -> None:
    report = _sliced(["a", None, "a", None, None], 2).report()
    assert {value: part["rows"] for value, part in report.items()} == {"(missing)": 3, "a": 2}


def test_a_column_of_ids_ends_in_seconds() -> None:
    ids = pa.array(np.arange(500_000)).cast(pa.string())

    def shards() -> Iterator[pa.ChunkedArray]:
        return (pa.chunked_array([ids.slice(start, 10_000)]) for start in range(0, 500_000, 10_000))

    began = time.process_time()
    slices = Slices.of(TASK, shards())
    for shard in shards():
        slices.add(shard, np.zeros(len(shard)), np.zeros(len(shard)))
    assert time.process_time() - began < 10
    assert slices.left_out == 499_950
