"""The columns of an answer are the same wherever scores are told."""

from __future__ import annotations

import numpy as np

from raymill.answers import answer_columns, labels_of, probability_columns
from raymill.task import Task

CLASSES = Task(kind="classification", target="y", classes=("a", "b", "c"))
VALUE = Task(kind="regression", target="y")
SCORES = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])


def test_labels_are_the_likeliest_classes_and_values_are_themselves() -> None:
    assert labels_of(CLASSES, SCORES).tolist() == ["b", "a"]
    assert labels_of(VALUE, np.array([1.5])).tolist() == [1.5]


def test_classes_are_answered_by_a_label_and_a_probability_each() -> None:
    columns = answer_columns(CLASSES, SCORES)
    assert list(columns) == ["prediction", *probability_columns(CLASSES)] == ["prediction", "p_a", "p_b", "p_c"]
    assert columns["p_b"].tolist() == [0.5, 0.4]


def test_a_regression_is_answered_by_its_value() -> None:
    assert list(answer_columns(VALUE, np.array([1.5]))) == ["prediction"]
