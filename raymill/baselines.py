"""Baselines: what a constant, a linear model and a gradient boosted tree make of the same prepared rows.

Fitted by scikit-learn; kept as their scores of the test rows, never as models. Knows prepared shards and the score
convention; refuses to know metrics, and which baseline a user's model must beat.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raymill.layout import TARGET, Layout
from raymill.scores import score_table, scores_in
from raymill.store import Store
from raymill.target import encode_target
from raymill.task import Task

if TYPE_CHECKING:
    from raymill.prepared import Prepared

MANIFEST = "baselines.json"
MAX_ROWS = 500_000
# Cells are rows x columns x trees of a boosting round: about half a minute of boosting on two cores, and 512 MB.
_MAX_CELLS = 64_000_000
_MIN_ROWS = 10_000
# They only say when boosting stops.
_MOST_VALIDATION_ROWS = 100_000
_ROUNDS = 100
_MOST_TREES = 3_000
_MAX_ITERATIONS = 1000
# The most values that scikit-learn's histogram takes for a category.
_MAX_CATEGORIES = 255
_BLOCK_ROWS = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineScores:
    """One baseline's scores of the test rows, in shard order; `seconds` is the time of its fit."""

    name: str
    scores: np.ndarray
    rows_used: int
    seconds: float
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """`numbers (rows, n) float32`, `categories (rows, c) int32` and `target (rows,)` as the shards have it."""

    numbers: np.ndarray
    categories: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, layout: Layout, table: pa.Table) -> _Rows:
        categories = tuple(category.name for category in layout.categories)
        return cls(
            numbers=_matrix(table, layout.numbers, np.float32),
            categories=_matrix(table, categories, np.int32),
            target=table[TARGET].to_numpy(),
        )

    def __len__(self) -> int:
        return len(self.target)


Predict = Callable[[_Rows], np.ndarray]
"""Scores of rows: probabilities of every class of the task, or values in learning units."""


def fit_baselines(prepared: Prepared, seed: int) -> list[BaselineScores]:
    """Fits constant, linear and gradient_boosting on the train split and scores the test split with each.

    All three see the same rows: every train row, or a random sample of them above a cap of 500,000 rows, or of 64
    million cells (rows x columns x classes if there are more than two) but at least 10,000 rows; `note` says so. Of the
    validation rows, by which boosting stops early, 100,000 at most are seen.
    """
    cap = row_cap(prepared.layout, prepared.task)
    train = _sample(prepared, "train", cap, seed)
    validation = _sample(prepared, "validation", min(cap, _MOST_VALIDATION_ROWS), seed)
    fitted: list[tuple[str, Predict, float, str]] = []
    for name, fit in _FITS.items():
        started_s = time.perf_counter()
        predict, note = _quietly(fit, prepared, train, validation, seed)
        fitted.append((name, predict, time.perf_counter() - started_s, note))
    scores = _score(prepared, [predict for _, predict, _, _ in fitted])
    sampled = "" if len(train) == prepared.splits["train"].rows else _sampled_note(prepared, len(train))
    return [
        BaselineScores(
            name=name, scores=s, rows_used=len(train), seconds=seconds, note=" ".join(filter(None, [sampled, note]))
        )
        for (name, _, seconds, note), s in zip(fitted, scores, strict=True)
    ]


def store_baselines(prepared: Prepared, store: Store, folder: str, seed: int) -> None:
    """Fits the baselines and writes them. It stands here since a process that does only this needs no torch."""
    write_baselines(store, folder, prepared, fit_baselines(prepared, seed))


def write_baselines(store: Store, folder: str, prepared: Prepared, results: list[BaselineScores]) -> None:
    """Writes each baseline as one score shard `<folder>/<name>.parquet`, then the manifest `baselines.json`."""
    target = _test_target(prepared)
    for result in results:
        store.write_table(f"{folder}/{result.name}.parquet", score_table(target, result.scores))
    fits = {
        result.name: {"rows_used": result.rows_used, "seconds": round(result.seconds, 3), "note": result.note}
        for result in results
    }
    store.write_json(f"{folder}/{MANIFEST}", {"train_rows": prepared.splits["train"].rows, "baselines": fits})


def has_baselines(store: Store, folder: str) -> bool:
    """Whether all baselines of a run are stored."""
    return store.exists(f"{folder}/{MANIFEST}")


def read_baselines(store: Store, folder: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Target and scores of each baseline by name. Raises StoreError where no manifest was written."""
    names = store.read_json(f"{folder}/{MANIFEST}")["baselines"]
    return {name: scores_in(store.read_table(f"{folder}/{name}.parquet")) for name in names}


def row_cap(layout: Layout, task: Task) -> int:
    """The most train rows that are used: 500,000, or fewer where rows are wide or classes many."""
    trees = task.outputs if task.outputs > 2 else 1
    cells_per_row = max(len(layout.numbers) + len(layout.categories), 1) * trees
    return min(MAX_ROWS, max(_MIN_ROWS, _MAX_CELLS // cells_per_row))


def _sampled_note(prepared: Prepared, rows: int) -> str:
    return f"Fitted on a random {rows:,} of {prepared.splits['train'].rows:,} train rows, its cap for this table."


def _sample(prepared: Prepared, split: str, cap: int, seed: int) -> _Rows:
    """All rows of a split, or a random `cap` of them in their order, read one shard at a time."""
    info = prepared.splits[split]
    picks = None
    if info.rows > cap:
        picks = np.sort(np.random.default_rng(seed).choice(info.rows, cap, replace=False, shuffle=False))
    nothing = np.zeros((0, len(prepared.layout.numbers)), np.float32)
    no_category = np.zeros((0, len(prepared.layout.categories)), np.int32)
    parts = [_Rows(numbers=nothing, categories=no_category, target=np.zeros(0, np.int8))]
    start = 0
    for shard in info.shards:
        table = prepared.read(shard)
        if picks is not None:
            first, last = np.searchsorted(picks, [start, start + shard.rows])
            table = table.take(pa.array(picks[first:last] - start))
        parts.append(_Rows.of(prepared.layout, table))
        start += shard.rows
    return _Rows(
        numbers=np.concatenate([part.numbers for part in parts]),
        categories=np.concatenate([part.categories for part in parts]),
        target=np.concatenate([part.target for part in parts]),
    )


def _matrix(table: pa.Table, names: tuple[str, ...], dtype: type[np.generic]) -> np.ndarray:
    matrix = np.empty((table.num_rows, len(names)), dtype=dtype)
    for i, name in enumerate(names):
        matrix[:, i] = table[name].to_numpy()
    return matrix


def _score(prepared: Prepared, predicts: list[Predict]) -> list[np.ndarray]:
    """The test scores of each, in the target's own units, reading every test shard once."""
    classification = prepared.task.kind == "classification"
    parts = [[np.zeros((0, prepared.task.outputs) if classification else 0)] for _ in predicts]
    # scikit-learn refuses to predict no rows.
    for shard in (shard for shard in prepared.splits["test"].shards if shard.rows):
        rows = _Rows.of(prepared.layout, prepared.read(shard))
        for part, predict in zip(parts, predicts, strict=True):
            part.append(predict(rows))
    scores = [np.concatenate(part) for part in parts]
    return scores if classification else [prepared.task.restore(s) for s in scores]


def _test_target(prepared: Prepared) -> np.ndarray:
    """The test rows' targets as an evaluation has them: class indices, or own units to the last digit."""
    name = prepared.task.target
    shards = prepared.raw_test.shards
    parts = [encode_target(prepared.task, prepared.read(shard, [name])[name])[0] for shard in shards]
    return np.concatenate([np.zeros(0, np.int64), *parts])


Fit = Callable[["Prepared", _Rows, _Rows, int], Predict]


def _quietly(fit: Fit, prepared: Prepared, train: _Rows, validation: _Rows, seed: int) -> tuple[Predict, str]:
    """Fits, and returns as a note what scikit-learn would have warned of."""
    if prepared.task.kind == "classification" and (train.target == train.target[0]).all():
        return _constant(prepared, train, validation, seed), "All rows that it saw are of one class."
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predict = fit(prepared, train, validation, seed)
    return predict, " ".join(sorted({str(warning.message).splitlines()[0] for warning in caught}))


def _constant(prepared: Prepared, train: _Rows, validation: _Rows, seed: int) -> Predict:
    """The shares of the classes, or the mean."""
    if prepared.task.kind == "regression":
        mean = train.target.mean(dtype=np.float64)
        return lambda rows: np.full(len(rows), mean)
    shares = np.bincount(train.target, minlength=prepared.task.outputs) / len(train)
    return lambda rows: np.tile(shares, (len(rows), 1))


def _linear(prepared: Prepared, train: _Rows, validation: _Rows, seed: int) -> Predict:
    """Logistic or ridge regression with scikit-learn's default penalty, in float64: float32 stops early."""
    from sklearn.linear_model import LogisticRegression, Ridge

    design = _design(prepared.layout, train)
    if prepared.task.kind == "regression":
        ridge = Ridge().fit(design, train.target.astype(np.float64))
        return lambda rows: np.asarray(ridge.predict(_design(prepared.layout, rows)))
    logistic = LogisticRegression(max_iter=_MAX_ITERATIONS).fit(design, train.target)
    return _probabilities(prepared, logistic, _design)


def _gradient_boosting(prepared: Prepared, train: _Rows, validation: _Rows, seed: int) -> Predict:
    """Histogram gradient boosting by scikit-learn's defaults, stopped early by the validation split.

    A round grows a tree for each class, of which there are 3,000 at most in all.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    known = np.isin(validation.target, train.target) if prepared.task.kind == "classification" else slice(None)
    held_out = {"X_val": _grid(prepared.layout, validation)[known], "y_val": validation.target[known]}
    stops = len(held_out["y_val"]) > 0
    options: dict[str, Any] = {
        "categorical_features": _categorical(prepared.layout) or None,
        "early_stopping": stops,
        "random_state": seed % 2**32,
        "max_iter": max(1, min(_ROUNDS, _MOST_TREES // prepared.task.outputs)),
    }
    grid = _grid(prepared.layout, train)
    if prepared.task.kind == "regression":
        regressor = HistGradientBoostingRegressor(**options)
        regressor.fit(grid, train.target, **(held_out if stops else {}))
        return lambda rows: np.asarray(regressor.predict(_grid(prepared.layout, rows)))
    classifier = HistGradientBoostingClassifier(**options)
    classifier.fit(grid, train.target, **(held_out if stops else {}))
    return _probabilities(prepared, classifier, _grid)


_FITS: dict[str, Fit] = {"constant": _constant, "linear": _linear, "gradient_boosting": _gradient_boosting}


def _probabilities(prepared: Prepared, classifier: Any, columns: Callable[[Layout, _Rows], Any]) -> Predict:
    """Probabilities of every class of the task: one that the train rows lack has none."""

    def predict(rows: _Rows) -> np.ndarray:
        scores = np.zeros((len(rows), prepared.task.outputs))
        scores[:, classifier.classes_] = classifier.predict_proba(columns(prepared.layout, rows))
        return scores

    return predict


def _design(layout: Layout, rows: _Rows) -> Any:
    """Numbers, then one column per category value: `(rows, n)` dense, or sparse where there are categories."""
    if not layout.categories:
        return rows.numbers.astype(np.float64)
    from scipy import sparse

    width, sizes = len(layout.numbers), [category.size for category in layout.categories]
    first = width + np.cumsum([0, *sizes[:-1]])
    size = np.count_nonzero(rows.numbers) + rows.categories.size
    data, columns = np.empty(size), np.empty(size, np.int32)
    starts = np.zeros(len(rows) + 1, np.int64)
    # Block by block into their place: putting whole parts side by side takes three times the memory.
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        cells = np.hstack([rows.numbers[block], np.ones_like(rows.categories[block])], dtype=np.float64)
        places = np.hstack([np.broadcast_to(np.arange(width), (len(cells), width)), rows.categories[block] + first])
        present = cells != 0
        ends = starts[start] + np.cumsum(present.sum(axis=1))
        starts[start + 1 : start + 1 + len(cells)] = ends
        data[starts[start] : ends[-1]] = cells[present]
        columns[starts[start] : ends[-1]] = places[present]
    return sparse.csr_matrix((data, columns, starts), shape=(len(rows), width + sum(sizes)))


def _grid(layout: Layout, rows: _Rows) -> np.ndarray:
    """Numbers, then category indices, `(rows, n + c) float64`."""
    return np.concatenate([rows.numbers, rows.categories], axis=1, dtype=np.float64)


def _categorical(layout: Layout) -> list[int]:
    """The columns of the grid that are categories to the tree; larger ones are ordered by their index."""
    first = len(layout.numbers)
    return [first + i for i, c in enumerate(layout.categories) if c.size <= _MAX_CATEGORIES]
