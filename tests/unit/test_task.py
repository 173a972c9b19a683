"""A task and a layout are data: they come back from JSON, and a target from learning units."""

from __future__ import annotations

import json

import numpy as np
import pytest

from raymill.layout import CategoryFeature, Layout
from raymill.task import Task

TWO = Task(kind="classification", target="delay", at_least=30.0, classes=("False", "True"))
VALUE = Task(kind="regression", target="delay", mean=12.5, scale=3.0)


@pytest.mark.parametrize("task", [TWO, VALUE])
def test_a_task_comes_back_from_json(task: Task) -> None:
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


def test_a_task_has_an_output_per_class_or_one() -> None:
    assert (TWO.outputs, VALUE.outputs) == (2, 1)


def test_values_come_back_from_learning_units() -> None:
    values = np.array([-4.0, 12.5, 1e6])
    standardised = VALUE.standardise(values)
    assert standardised.dtype == np.float32 and standardised[1] == 0.0
    assert VALUE.restore(standardised).dtype == np.float64
    np.testing.assert_allclose(VALUE.restore(standardised), values, rtol=1e-6)


def test_a_layout_comes_back_from_json_and_counts_its_words() -> None:
    layout = Layout(numbers=("a", "b"), categories=(CategoryFeature(name="k", size=7),))
    assert Layout.from_json(json.loads(json.dumps(layout.to_json()))) == layout
    assert layout.words == 4
