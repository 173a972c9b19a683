"""Baselines learn from the prepared train rows, score every test row in order, and are stored as data."""

from __future__ import annotations

import tracemalloc
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raymill import baselines
from raymill.baselines import (
    BaselineScores,
    _design,
    _Rows,
    fit_baselines,
    read_baselines,
    row_cap,
    write_baselines,
)
from raymill.errors import StoreError
from raymill.layout import TARGET, CategoryFeature, Layout
from raymill.metrics import measure
from raymill.store import Store
from raymill.task import Task

TWO = Task(kind="classification", target="y", classes=("no", "yes"))
THREE = Task(kind="classification", target="y", classes=("a", "b", "c"))
VALUES = Task(kind="regression", target="y", mean=100.0, scale=10.0)
NUMBERS = Layout(numbers=("x", "z"), categories=())
MIXED = Layout(
    numbers=("x", "z"),
    categories=(CategoryFeature(name="small", size=20), CategoryFeature(name="large", size=400)),
)


@dataclass(frozen=True)
class FakeShard:
    table: pa.Table

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)


@dataclass(frozen=True)
class FakeSplit:
    shards: tuple[FakeShard, ...]

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)


@dataclass(frozen=True)
class FakePrepared:
    layout: Layout
    task: Task
    splits: dict[str, FakeSplit]

    @property
    def raw_test(self) -> FakeSplit:
        """The test rows' targets as they were before float32, which loses their last digits."""
        return FakeSplit(
            tuple(FakeShard(pa.table({"y": raw_target(self.task, s)})) for s in self.splits["test"].shards)
        )

    def read(self, shard: FakeShard, columns: list[str] | None = None) -> pa.Table:
        return shard.table if columns is None else shard.table.select(columns)


def raw_target(task: Task, shard: FakeShard) -> pa.Array:
    target = shard.table[TARGET].to_numpy()
    if task.kind == "classification":
        return pa.array([task.classes[index] for index in target], pa.string())
    return pa.array(task.restore(target) + 1e-9)


def rows(layout: Layout, task: Task, count: int, seed: int) -> pa.Table:
    """Rows whose target follows x and, where there is one, the small category."""
    rng = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {name: rng.normal(size=count).astype(np.float32) for name in layout.numbers}
    columns |= {c.name: rng.integers(0, c.size, count).astype(np.int32) for c in layout.categories}
    signal = 2 * columns["x"] + (columns["small"] % 2 * 2 - 1 if layout.categories else 0)
    signal = signal + rng.normal(0, 0.5, count)
    if task.kind == "regression":
        target = signal.astype(np.float32)
    else:
        target = np.digitize(signal, [0.0, 1.0][: task.outputs - 1]).astype(np.int32)
    return pa.table(columns | {TARGET: target})


def prepared(layout: Layout, task: Task, train: int = 600, test: tuple[int, ...] = (50, 0, 70)) -> Any:
    def split(seed: int, *counts: int) -> FakeSplit:
        return FakeSplit(tuple(FakeShard(rows(layout, task, n, seed + i)) for i, n in enumerate(counts)))

    splits = {"train": split(10, train // 2, train - train // 2), "validation": split(20, 80)}
    return FakePrepared(layout, task, splits | {"test": split(30, *test)})


def target_of(fake: Any) -> np.ndarray:
    parts = [shard.table[TARGET].to_numpy() for shard in fake.splits["test"].shards]
    values = np.concatenate(parts)
    return values if fake.task.kind == "classification" else fake.task.restore(values) + 1e-9


def by_name(results: list[BaselineScores]) -> dict[str, BaselineScores]:
    return {result.name: result for result in results}


@pytest.mark.parametrize("layout", [NUMBERS, MIXED], ids=["numbers", "mixed"])
@pytest.mark.parametrize("task", [TWO, THREE, VALUES], ids=["two", "three", "values"])
def test_linear_and_tree_beat_the_constant_and_nobody_is_warned(layout: Layout, task: Task) -> None:
    fake = prepared(layout, task)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = by_name(fit_baselines(fake, seed=0))
    assert list(results) == ["constant", "linear", "gradient_boosting"]
    metric = "roc_auc" if task.kind == "classification" else "r2"
    value = {n: measure(task, target_of(fake), r.scores)[metric].value for n, r in results.items()}
    floor = 0.5 if task.kind == "classification" else 0.1
    assert value["constant"] <= floor < 0.75 < min(value["linear"], value["gradient_boosting"])
    assert all(r.rows_used == 600 and r.note == "" for r in results.values())


def test_the_constant_is_the_train_shares_or_the_train_mean() -> None:
    fake = prepared(NUMBERS, TWO)
    train = np.concatenate([shard.table[TARGET].to_numpy() for shard in fake.splits["train"].shards])
    scores = by_name(fit_baselines(fake, seed=0))["constant"].scores
    np.testing.assert_allclose(scores, np.tile([1 - train.mean(), train.mean()], (120, 1)))

    fake = prepared(NUMBERS, VALUES)
    train = np.concatenate([shard.table[TARGET].to_numpy() for shard in fake.splits["train"].shards])
    scores = by_name(fit_baselines(fake, seed=0))["constant"].scores
    np.testing.assert_allclose(scores, np.full(120, 100 + 10 * train.mean(dtype=np.float64)))


def test_above_the_cap_a_random_sample_is_fitted_and_the_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MAX_ROWS", 200)
    fake = prepared(NUMBERS, TWO)
    results = fit_baselines(fake, seed=3)
    assert {result.rows_used for result in results} == {200}
    assert results[1].note == "Fitted on a random 200 of 600 train rows, its cap for this table."
    again = fit_baselines(fake, seed=3)
    for one, other in zip(results, again, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


def test_of_many_validation_rows_a_sample_says_when_boosting_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def fit(prepared: Any, train: _Rows, validation: _Rows, seed: int) -> Any:
        seen.append((len(train), len(validation)))
        return baselines._constant(prepared, train, validation, seed)

    monkeypatch.setattr(baselines, "_MOST_VALIDATION_ROWS", 30)
    monkeypatch.setitem(baselines._FITS, "gradient_boosting", fit)
    fit_baselines(prepared(NUMBERS, TWO), seed=3)
    assert seen == [(600, 30)]


def test_wide_rows_and_many_classes_lower_the_cap_to_no_less_than_ten_thousand() -> None:
    wide = Layout(numbers=tuple(map(str, range(1000))), categories=())
    many = Task(kind="classification", target="y", classes=tuple(map(str, range(100))))
    assert row_cap(NUMBERS, TWO) == 500_000
    assert row_cap(wide, TWO) == 64_000
    assert row_cap(wide, many) == 10_000


def test_a_class_that_the_train_rows_lack_has_a_column_without_probability() -> None:
    fake = prepared(MIXED, THREE)
    for shard in fake.splits["train"].shards:
        keep = np.minimum(shard.table[TARGET].to_numpy(), 1) * 2
        columns = {**{n: shard.table[n] for n in shard.table.column_names}, TARGET: pa.array(keep)}
        object.__setattr__(shard, "table", pa.table(columns))
    for result in fit_baselines(fake, seed=0):
        assert result.scores.shape == (120, 3)
        np.testing.assert_array_equal(result.scores[:, 1], 0)
        np.testing.assert_allclose(result.scores.sum(axis=1), 1)


def test_a_sample_of_one_class_gives_its_constant_and_says_so() -> None:
    fake = prepared(NUMBERS, TWO)
    for shard in fake.splits["train"].shards:
        column = shard.table.schema.get_field_index(TARGET)
        zeros = pa.array(np.zeros(shard.rows, np.int32))
        object.__setattr__(shard, "table", shard.table.set_column(column, TARGET, zeros))
    for result in fit_baselines(fake, seed=0):
        np.testing.assert_array_equal(result.scores, np.tile([1.0, 0.0], (120, 1)))
        assert result.note == "All rows that it saw are of one class."


def test_the_tree_takes_categories_that_only_validation_and_test_hold() -> None:
    fake = prepared(MIXED, VALUES)
    for shard in (*fake.splits["validation"].shards, *fake.splits["test"].shards):
        column = shard.table.schema.get_field_index("small")
        unseen = pa.array(np.full(shard.rows, 19, np.int32))
        object.__setattr__(shard, "table", shard.table.set_column(column, "small", unseen))
    for shard in fake.splits["train"].shards:
        column = shard.table.schema.get_field_index("small")
        seen = pa.array(shard.table["small"].to_numpy() % 19)
        object.__setattr__(shard, "table", shard.table.set_column(column, "small", seen))
    assert all(np.isfinite(result.scores).all() for result in fit_baselines(fake, seed=0))


def test_empty_validation_and_test_splits_are_fine() -> None:
    fake = prepared(MIXED, TWO, test=())
    fake.splits["validation"] = FakeSplit(())
    assert [result.scores.shape for result in fit_baselines(fake, seed=0)] == [(0, 2)] * 3


@pytest.mark.parametrize("task", [THREE, VALUES], ids=["three", "values"])
def test_what_is_written_is_read_back_with_the_target_in_its_own_units(task: Task, tmp_path: Path) -> None:
    store, fake = Store(str(tmp_path)), prepared(MIXED, task)
    results = fit_baselines(fake, seed=0)
    write_baselines(store, "runs/r/baselines", fake, results)
    back = read_baselines(store, "runs/r/baselines")
    assert set(back) == {"constant", "linear", "gradient_boosting"}
    for result in results:
        target, scores = back[result.name]
        np.testing.assert_array_equal(target, target_of(fake))
        np.testing.assert_array_equal(scores, result.scores)
    manifest = store.read_json("runs/r/baselines/baselines.json")
    assert manifest["train_rows"] == 600
    assert manifest["baselines"]["linear"]["rows_used"] == 600


def test_the_linear_model_sees_each_number_and_a_one_per_category_without_holding_them_twice() -> None:
    rng = np.random.default_rng(3)
    table = {name: rng.normal(size=100_000).astype(np.float32) * (rng.random(100_000) < 0.5) for name in ("x", "z")}
    table |= {c.name: rng.integers(0, c.size, 100_000).astype(np.int32) for c in MIXED.categories}
    rows = _Rows.of(MIXED, pa.table(table | {TARGET: np.zeros(100_000, np.int32)}))
    tracemalloc.start()
    design = _design(MIXED, rows)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1.5 * (design.data.nbytes + design.indices.nbytes + design.indptr.nbytes)
    expected = np.zeros((20, 422))
    expected[:, :2] = rows.numbers[-20:]
    expected[np.arange(20), 2 + rows.categories[-20:, 0]] = 1
    expected[np.arange(20), 22 + rows.categories[-20:, 1]] = 1
    assert np.array_equal(design[-20:].toarray(), expected)


def test_without_a_manifest_there_are_no_baselines(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        read_baselines(Store(str(tmp_path)), "runs/r/baselines")
