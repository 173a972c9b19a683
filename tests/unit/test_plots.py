"""Plots are small PNGs for any table that evaluation can meet, and touch no global state."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.metrics import auc

from raymill import plots
from raymill.history import EpochRecord
from raymill.task import Task

TWO = Task(kind="classification", target="y", classes=("no", "yes"))


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def is_png(data: bytes) -> bool:
    return data.startswith(b"\x89PNG") and len(data) < 300_000


def epochs(count: int) -> list[EpochRecord]:
    return [
        EpochRecord(
            epoch=e, step=e, train_loss=1 / e, validation_loss=1 / e + e / 50, lr=0.1, rows=1, rows_per_s=1, seconds=1
        )
        for e in range(1, count + 1)
    ]


@pytest.mark.parametrize("count", [0, 1, 30, 5000])
def test_the_loss_curve_takes_any_number_of_epochs(count: int) -> None:
    assert is_png(plots.loss_curve(epochs(count)))


@pytest.mark.parametrize("classes", [2, 3, 14])
def test_roc_takes_many_classes_with_names_that_matplotlib_would_misread(classes: int) -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"_$\\frac{i}$ 漢 {'long ' * 10}" for i in range(classes))
    task = Task(kind="classification", target="y", classes=names)
    scores = rng.dirichlet(np.ones(classes), 300)
    assert is_png(plots.roc(rng.integers(0, classes, 300), scores, task))
    assert is_png(plots.confusion(rng.integers(0, 50, (classes, classes)), names))


def test_roc_of_one_class_says_that_it_is_undefined() -> None:
    assert is_png(plots.roc(np.zeros(3, np.int64), np.full((3, 2), 0.5), TWO))


def test_a_thinned_roc_curve_keeps_its_ends_and_its_area() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(50_000) < 0.01
    scores = positive + rng.normal(size=50_000)
    false_rate, true_rate = plots._roc_points(positive, scores)
    assert len(true_rate) <= 2000
    assert (false_rate[0], true_rate[0], false_rate[-1], true_rate[-1]) == (0, 0, 1, 1)
    assert auc(false_rate, true_rate) == pytest.approx(plots.roc_auc(positive, scores), abs=2e-3)


@pytest.mark.parametrize("rows", [1, 100, 5000])
def test_residuals_take_any_number_of_rows(rows: int) -> None:
    rng = np.random.default_rng(0)
    assert is_png(plots.residuals(rng.normal(size=rows), rng.normal(size=rows)))


@pytest.mark.parametrize("classes", [2, 40, 100])
def test_confusion_takes_many_classes_and_classes_without_rows(classes: int) -> None:
    matrix = np.random.default_rng(0).integers(0, 9, (classes, classes))
    matrix[0] = 0
    started_s = time.perf_counter()
    assert is_png(plots.confusion(matrix, [str(i) for i in range(classes)]))
    assert time.perf_counter() - started_s < 5


def test_importing_plots_imports_no_matplotlib_and_drawing_no_pyplot() -> None:
    code = (
        "import sys, numpy as np, raymill.plots as p; assert 'matplotlib' not in sys.modules; "
        "p.residuals(np.ones(3), np.zeros(3)); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
