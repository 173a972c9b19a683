"""The MLflow model takes a DataFrame of raw rows and gives one of predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from raymill.errors import DataError
from raymill.pyfunc import TableModel
from raymill.schema import Column, Schema
from raymill.task import Task

SCHEMA = Schema(
    columns=(
        Column(name="size", kind="number"),
        Column(name="colour", kind="category"),
        Column(name="sold", kind="boolean"),
        Column(name="at", kind="timestamp"),
    )
)


@dataclass(frozen=True)
class SizePredictor:
    """Scores a row by its size alone."""

    task: Task
    schema: Schema = SCHEMA

    def predict(self, table: pa.Table) -> np.ndarray:
        size = self.schema.conform(table)["size"].to_numpy()
        if self.task.kind == "regression":
            return 2 * size
        return np.stack([1 - size / 10, size / 10], axis=1)


CLASSES = TableModel(SizePredictor(Task(kind="classification", target="y", classes=("no", "yes"))))
VALUES = TableModel(SizePredictor(Task(kind="regression", target="y")))


def frame(**columns: object) -> pd.DataFrame:
    rows = {"size": [1, 9], "colour": ["red", None], "sold": [True, None], "at": ["2024-01-01", None]}
    return pd.DataFrame(rows | columns, index=[7, 3])


def test_classification_gives_the_label_and_a_probability_per_class() -> None:
    found = CLASSES.predict(frame())
    assert list(found.columns) == ["prediction", "p_no", "p_yes"]
    assert list(found["prediction"]) == ["no", "yes"]
    assert list(found["p_yes"]) == [0.1, 0.9]


def test_regression_gives_the_value() -> None:
    found = VALUES.predict(frame())
    assert list(found.columns) == ["prediction"]
    assert list(found["prediction"]) == [2.0, 18.0]


def test_the_index_of_the_rows_stays() -> None:
    assert list(CLASSES.predict(frame()).index) == [7, 3]


def test_columns_that_are_no_features_are_ignored_whatever_they_hold() -> None:
    assert len(CLASSES.predict(frame(other=[object(), 3]))) == 2


@pytest.mark.parametrize(
    "size",
    [
        pd.Series([1, 9], dtype="int64"),
        pd.Series([1, 9], dtype="float32"),
        pd.Series([1, 9], dtype="Int64"),
        ["1", "9"],
        pd.Series([1, 9], dtype=object),
    ],
)
def test_any_pandas_type_that_reads_as_the_kind_will_do(size: object) -> None:
    given = frame()
    given["size"] = np.asarray(size) if isinstance(size, list) else size.to_numpy()
    assert list(CLASSES.predict(given)["p_yes"]) == [0.1, 0.9]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="'colour'"):
        CLASSES.predict(frame().drop(columns="colour"))


def test_a_mixed_column_is_named() -> None:
    with pytest.raises(DataError, match=r"colour.*\n.*one type"):
        CLASSES.predict(frame(colour=[b"x", 3.5]))


def test_a_bad_cell_is_named() -> None:
    with pytest.raises(DataError, match="'size'"):
        CLASSES.predict(frame(size=["1", "big"]))
