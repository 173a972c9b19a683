"""Metrics equal scikit-learn's, merge, and say why they are undefined."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from raymill.errors import DataError
from raymill.metrics import Measured, Tally, measure
from raymill.spec import METRICS
from raymill.task import Task

TWO = Task(kind="classification", target="y", classes=("no", "yes"))
FOUR = Task(kind="classification", target="y", classes=("a", "b", "c", "d"))
VALUES = Task(kind="regression", target="y")


def probabilities(rng: np.random.Generator, rows: int, classes: int, decimals: int = 15) -> np.ndarray:
    first = np.floor(rng.dirichlet(np.ones(classes), rows)[:, 1:] * 10**decimals) / 10**decimals
    return np.column_stack([1 - first.sum(axis=1), first])


def sklearn_classification(target: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    classes = scores.shape[1]
    guess = scores.argmax(axis=1)
    macro = {"average": "macro", "zero_division": np.nan}
    expected = {
        "accuracy": sk.accuracy_score(target, guess),
        "precision_macro": sk.precision_score(target, guess, **macro),
        "recall_macro": sk.recall_score(target, guess, **macro),
        "f1_macro": sk.f1_score(target, guess, **macro),
        "log_loss": sk.log_loss(target, scores, labels=range(classes)),
    }
    if classes > 2:
        return expected | {"roc_auc": sk.roc_auc_score(target, scores, multi_class="ovr", average="macro")}
    return expected | {
        "roc_auc": sk.roc_auc_score(target, scores[:, 1]),
        "precision": sk.precision_score(target, guess),
        "recall": sk.recall_score(target, guess),
        "f1": sk.f1_score(target, guess),
    }


def values(measured: dict[str, Measured]) -> dict[str, float]:
    return {name: m.value for name, m in measured.items() if m.value is not None}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [15, 1], ids=["distinct", "tied"])
@pytest.mark.parametrize("task", [TWO, FOUR], ids=["two", "four"])
def test_classification_equals_scikit_learn(task: Task, decimals: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = len(task.classes)
    scores = probabilities(rng, 400, classes, decimals)
    target = np.concatenate([np.arange(classes), rng.integers(0, classes, 400 - classes)])
    assert values(measure(task, target, scores)) == pytest.approx(sklearn_classification(target, scores), rel=1e-12)


@pytest.mark.parametrize("task", [TWO, FOUR], ids=["two", "four"])
def test_imbalanced_classes_equal_scikit_learn(task: Task) -> None:
    rng = np.random.default_rng(3)
    classes = len(task.classes)
    scores = probabilities(rng, 2000, classes)
    target = np.where(rng.random(2000) < 0.01, rng.integers(1, classes, 2000), 0)
    target[:classes] = np.arange(classes)
    assert values(measure(task, target, scores)) == pytest.approx(sklearn_classification(target, scores), rel=1e-12)


def test_certain_and_wrong_probabilities_are_clipped_as_scikit_learn_clips_them() -> None:
    target, scores = np.array([0, 1, 1]), np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    assert measure(TWO, target, scores)["log_loss"].value == pytest.approx(sk.log_loss(target, scores))


@pytest.mark.parametrize(("offset", "tolerance"), [(0.0, 1e-12), (1e8, 1e-7)])
def test_regression_equals_scikit_learn_also_far_from_zero(offset: float, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=500) + offset
    scores = target + rng.normal(size=500)
    expected = {
        "r2": sk.r2_score(target, scores),
        "rmse": sk.root_mean_squared_error(target, scores),
        "mae": sk.mean_absolute_error(target, scores),
    }
    tally = Tally(VALUES)
    for rows in np.array_split(np.arange(500), 7):
        tally.add(target[rows], scores[rows])
    assert values(tally.result()) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("task", [TWO, FOUR, VALUES], ids=["two", "four", "values"])
def test_merged_tallies_equal_one_tally_and_survive_pickling(task: Task) -> None:
    rng = np.random.default_rng(1)
    if task.kind == "classification":
        target, scores = rng.integers(0, task.outputs, 101), probabilities(rng, 101, task.outputs, 2)
    else:
        target, scores = rng.normal(size=101), rng.normal(size=101)
    whole, merged = Tally(task), Tally(task)
    whole.add(target, scores)
    for rows in np.split(np.arange(101), [0, 40, 41, 101]):
        part = Tally(task)
        part.add(target[rows], scores[rows])
        merged.merge(pickle.loads(pickle.dumps(part)))
    assert merged.rows == whole.rows == 101
    assert values(merged.result()) == pytest.approx(values(whole.result()), rel=1e-12)
    if task.kind == "classification":
        np.testing.assert_array_equal(merged.confusion, whole.confusion)


def test_confusion_counts_true_by_predicted_and_ties_go_to_the_lowest_class() -> None:
    tally = Tally(TWO)
    tally.add(np.array([0, 1, 1, 1]), np.array([[0.5, 0.5], [0.5, 0.5], [0.1, 0.9], [0.2, 0.8]]))
    assert tally.confusion is not None and tally.confusion.dtype == np.int64
    np.testing.assert_array_equal(tally.confusion, [[1, 0], [1, 2]])
    assert Tally(VALUES).confusion is None


@pytest.mark.parametrize("task", [TWO, FOUR, VALUES], ids=["two", "four", "values"])
def test_exactly_the_metrics_of_the_spec_are_measured_in_its_order(task: Task) -> None:
    shape = (2, task.outputs) if task.kind == "classification" else (2,)
    measured = measure(task, np.array([0, 1]), np.full(shape, 0.25))
    assert tuple(measured) == METRICS[task.kind]


@pytest.mark.parametrize("task", [TWO, VALUES], ids=["two", "values"])
def test_without_rows_every_metric_is_null(task: Task) -> None:
    empty = np.empty((0, 2)) if task is TWO else np.empty(0)
    tally = Tally(task)
    tally.add(np.empty(0, dtype=np.int64), empty)
    tally.merge(Tally(task))
    assert set(tally.result().values()) == {Measured(None, "there are no rows")}


def test_a_class_without_rows_leaves_auc_and_recall_undefined_and_says_so() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = measure(TWO, np.array([0, 0]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert measured["roc_auc"] == Measured(None, "no row is of class 'yes'")
    assert measured["recall"] == Measured(None, "no row is of class 'yes'")
    assert measured["recall_macro"] == Measured(None, "no row is of class 'yes'")
    assert measured["precision"].value == 0.0


def test_a_class_never_predicted_leaves_precision_undefined_but_not_f1() -> None:
    measured = measure(TWO, np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    assert measured["precision"] == Measured(None, "no row is predicted to be of class 'yes'")
    assert measured["precision_macro"].value is None
    assert measured["f1"].value == 0.0


def test_a_class_neither_true_nor_predicted_leaves_f1_undefined() -> None:
    measured = measure(TWO, np.array([0, 0]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    assert measured["f1"].value is None
    assert measured["f1_macro"].value == 1.0


def test_metrics_of_one_class_are_null_for_many_classes() -> None:
    measured = measure(FOUR, np.arange(4), np.eye(4))
    assert {measured[name] for name in ("precision", "recall", "f1")} == {Measured(None, "defined for two classes")}


def test_r2_of_a_constant_target_is_null() -> None:
    measured = measure(VALUES, np.full(7, 0.1), np.linspace(0, 1, 7))
    assert measured["r2"] == Measured(None, "the target is 0.1 in every row")
    assert measured["mae"].value is not None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_counted_and_refused(bad: float) -> None:
    scores = np.full((5, 2), 0.5)
    scores[1:3] = bad
    with pytest.raises(DataError, match="2 of 5 rows"):
        measure(TWO, np.zeros(5, dtype=np.int64), scores)


def test_many_absent_classes_are_named_up_to_five() -> None:
    task = Task(kind="classification", target="y", classes=tuple("abcdefgh"))
    reason = measure(task, np.array([0]), np.full((1, 8), 1 / 8))["roc_auc"].reason
    assert reason == "no row is of class 'b', 'c', 'd', 'e', 'f' and 2 more"
