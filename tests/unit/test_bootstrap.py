"""The bootstrap's statistics equal scikit-learn's on the drawn rows, and its interval has the right width."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from raymill import bootstrap
from raymill.bootstrap import resampled_gains, statistic
from raymill.metrics import measure
from raymill.spec import METRICS
from raymill.task import Task

TWO = Task(kind="classification", target="y", classes=("no", "yes"))
THREE = Task(kind="classification", target="y", classes=("a", "b", "c"))
VALUES = Task(kind="regression", target="y")


def table(task: Task, rows: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A target that depends on the seed alone, and scores for it; rounded, so that some tie."""
    target_rng, noise_rng = np.random.default_rng(seed), np.random.default_rng([seed, int(noise * 1000)])
    if task.kind == "regression":
        target = target_rng.normal(3, 2, rows)
        return target, target + noise_rng.normal(0, noise, rows)
    target = target_rng.integers(0, task.outputs, rows)
    logits = np.eye(task.outputs)[target] + noise_rng.normal(0, noise, (rows, task.outputs))
    odds = np.exp(np.round(logits, 1))
    return target, odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("task", [TWO, THREE, VALUES], ids=["two", "three", "values"])
def test_every_metric_on_drawn_rows_equals_measuring_those_rows(task: Task) -> None:
    target, scores = table(task, 60, 1.0)
    draws = np.random.default_rng(5).integers(0, 60, size=(8, 60))
    measured = [measure(task, target[rows], scores[rows]) for rows in draws]
    for metric in METRICS[task.kind]:
        if measured[0][metric].reason == "defined for two classes":
            continue
        expected = [np.nan if m[metric].value is None else m[metric].value for m in measured]
        np.testing.assert_allclose(statistic(metric, task, target, scores)(draws), expected, rtol=1e-10)


def sklearn_auc(target: np.ndarray, scores: np.ndarray) -> float:
    return float(sk.roc_auc_score(target, scores[:, 1]))


def sklearn_log_loss_gain(target: np.ndarray, scores: np.ndarray) -> float:
    return -float(sk.log_loss(target, scores))


@pytest.mark.parametrize(("metric", "plain"), [("roc_auc", sklearn_auc), ("log_loss", sklearn_log_loss_gain)])
def test_gains_equal_a_plain_loop_with_scikit_learn(metric: str, plain: Callable[..., float]) -> None:
    target, ours = table(TWO, 80, 1.0)
    _, theirs = table(TWO, 80, 1.5)
    rng = np.random.default_rng(9)
    loop = []
    for rows in rng.integers(0, 80, size=(50, 80)):
        loop.append(plain(target[rows], ours[rows]) - plain(target[rows], theirs[rows]))
    gains = resampled_gains(metric, TWO, target, ours, theirs, resamples=50, seed=9)
    np.testing.assert_allclose(gains, loop, rtol=1e-10, atol=1e-12)


def test_a_resample_without_a_class_is_nan_and_no_warning() -> None:
    target = np.array([1, 0, 0, 0])
    scores = np.column_stack([np.linspace(0, 1, 4), np.linspace(1, 0, 4)])
    gains = resampled_gains("roc_auc", TWO, target, scores, scores, resamples=200)
    assert 20 < np.isnan(gains).sum() < 120


def test_the_same_seed_gives_the_same_gains_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    target, ours = table(TWO, 50, 1.0)
    _, theirs = table(TWO, 50, 1.2)
    whole = resampled_gains("roc_auc", TWO, target, ours, theirs, resamples=40, seed=2)
    monkeypatch.setattr(bootstrap, "_BLOCK_CELLS", 1)
    np.testing.assert_array_equal(resampled_gains("roc_auc", TWO, target, ours, theirs, resamples=40, seed=2), whole)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "f1"])
def test_above_the_cap_the_interval_keeps_its_centre_and_width(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, ours = table(TWO, 8000, 1.0)
    _, theirs = table(TWO, 8000, 1.1)
    all_rows = resampled_gains(metric, TWO, target, ours, theirs, resamples=400)
    monkeypatch.setattr(bootstrap, "MAX_ROWS", 2000)
    some_rows = resampled_gains(metric, TWO, target, ours, theirs, resamples=400)
    assert some_rows.std() == pytest.approx(all_rows.std(), rel=0.2)
    assert some_rows.mean() == pytest.approx(all_rows.mean(), abs=all_rows.std() / 3)
