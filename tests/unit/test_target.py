"""A target is fitted on train rows, coded by one rule, and refused in words when it can't be learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raymill.errors import DataError
from raymill.spec import TaskSpec, Threshold
from raymill.statistics import TableSummary
from raymill.target import encode_target, fit_task
from raymill.task import Task


def fit(spec: TaskSpec, values: list[Any], train: list[bool] | None = None) -> Task:
    table = pa.table({"y": pa.array(values), "x": pa.array(range(len(values)))})
    return fit_task(spec, TableSummary.of(table, np.array(train or [True] * len(values), dtype=bool)))


CLASSES = TaskSpec(type="classification", target="y")
VALUES = TaskSpec(type="regression", target="y")
LATE = TaskSpec(type="classification", target=Threshold(column="y", at_least=30))


def test_classes_are_the_sorted_labels_of_train_rows() -> None:
    assert fit(CLASSES, ["b", "a", "", "z"], [True, True, True, False]).classes == ("a", "b")
    assert fit(CLASSES, ["10", "9", "2"]).classes == ("2", "9", "10")
    assert fit(CLASSES, [1.0, 0.0, None]).classes == ("0", "1")
    assert fit(CLASSES, [True, False]).classes == ("false", "true")
    assert fit(CLASSES, ["yes", "no"]).classes == ("no", "yes")


def test_class_targets_are_indices_and_missing_ones_are_marked() -> None:
    task = fit(CLASSES, ["b", "a"])
    values, valid = encode_target(task, pa.chunked_array([["b", None], [" a", "NA"]]))
    assert values.tolist() == [1, -1, 0, -1] and values.dtype == np.int64
    assert valid.tolist() == [True, False, True, False]
    values, _ = encode_target(fit(CLASSES, ["0", "1"]), pa.array([1.0, 0.0]))
    assert values.tolist() == [1, 0]


def test_a_label_that_no_train_row_has_is_named_with_its_row() -> None:
    with pytest.raises(DataError, match=r"holds 'c' in row 2 .* train rows are a, b"):
        encode_target(fit(CLASSES, ["b", "a"]), pa.array(["a", None, "c"]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "a", None], "one class in the train rows: 'a'"),
        (["", None, "NA"], "no value in the train rows"),
        ([f"k{i}" for i in range(1_001)], "1001 different values"),
        ([i / 7 for i in range(60)], "60 different values"),
    ],
)
def test_a_column_that_is_no_set_of_classes_is_refused(values: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit(CLASSES, values)


def test_many_whole_number_classes_are_allowed() -> None:
    assert len(fit(CLASSES, list(range(60))).classes) == 60


def test_a_threshold_makes_two_classes_and_includes_its_value() -> None:
    task = fit(LATE, ["29.9", "30", "NA", "-5"])
    assert (task.classes, task.at_least, task.target) == (("False", "True"), 30.0, "y")
    values, valid = encode_target(task, pa.array(["30", "29.9", "", "31"]))
    assert values.tolist() == [1, 0, -1, 1] and valid.tolist() == [True, True, False, True]


@pytest.mark.parametrize("values", [[1, 2], [30, 40]])
def test_a_threshold_that_parts_nothing_is_refused(values: list[int]) -> None:
    with pytest.raises(DataError, match="has one class: its train rows reach from"):
        fit(LATE, values)


def test_regression_keeps_units_and_learns_the_scale_of_train_rows() -> None:
    task = fit(VALUES, [1.0, 3.0, None, 900.0], [True, True, True, False])
    assert (task.mean, task.scale) == (2.0, 1.0)
    values, valid = encode_target(task, pa.array(["5", "NA"]))
    assert values[0] == 5.0 and np.isnan(values[1]) and valid.tolist() == [True, False]


@pytest.mark.parametrize("spec", [VALUES, LATE])
def test_a_target_that_is_no_number_is_refused_with_the_cell(spec: TaskSpec) -> None:
    with pytest.raises(DataError, match=r"has to be a number, but row 1 .* holds 'many'"):
        fit(spec, ["1", "many", "3"])
    with pytest.raises(DataError, match=r"but row 0 .* holds 'many'"):
        encode_target(fit(spec, [1, 99]), pa.array(["many"]))


@pytest.mark.parametrize("values", [[2.0, 2.0], [1e300, -1e300]])
def test_a_regression_target_without_a_scale_is_refused(values: list[float]) -> None:
    with pytest.raises(DataError, match="does not vary"):
        fit(VALUES, values)


def test_an_absent_target_gets_the_nearest_name() -> None:
    with pytest.raises(DataError, match=r"no column 'yy', which task\.target names") as caught:
        fit(TaskSpec(type="regression", target="yy"), [1, 2])
    assert "Did you mean 'y'?" in caught.value.fix
