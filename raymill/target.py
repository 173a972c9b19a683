"""The target: how a column becomes what is learnt, fitted on train rows and checked on all.

| task | target of a row | refused |
|---|---|---|
| classification | the index of its text among the sorted train labels | one class, over 1,000, measurements |
| classification, `at_least` | 1 where the number reaches it: classes `False`, `True` | one class, no number |
| regression | the number, in its own units | one value, no number |

Labels sort as numbers if all are numbers, else as text. A row without a target is marked, never dropped here.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymill.cell_error import CellError
from raymill.cells import BadCell, plain, read, texts
from raymill.errors import DataError
from raymill.kind_statistics import NumberStatistics
from raymill.schema import absent_column
from raymill.spec import TaskSpec, Threshold
from raymill.statistics import ColumnSummary, TableSummary
from raymill.task import MOST_CLASSES, Task

_MOST_FRACTIONAL_CLASSES = 50
_ONE_CLASS_FIX = "Name another target, or check that the train split has rows of more than one class."


def fit_task(task: TaskSpec, summary: TableSummary) -> Task:
    """The task with its classes, or its mean and scale, from the train rows that have a target.

    Raises DataError when the target is absent, has one class or value, or doesn't fit the task's type.
    """
    if task.column not in summary.columns:
        raise absent_column("task.target", task.column, summary.columns)
    column = summary.columns[task.column]
    if not column.categories.count:
        raise DataError(f"The target {task.column!r} has no value in the train rows.", _ONE_CLASS_FIX)
    if task.type == "regression":
        return _fit_regression(task.column, column)
    if isinstance(task.target, Threshold):
        return _fit_threshold(task.target, column)
    return Task(kind="classification", target=task.column, classes=_classes(task.column, column))


def encode_target(task: Task, column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The targets of raw rows and which rows have one.

    Returns `(rows,) int64` class indices (-1 where missing) or `(rows,) float64` in own units (NaN where missing),
    and `(rows,) bool`. Raises DataError naming row and value of a label that no train row has, or of a bad number.
    """
    cells = plain(column)
    if task.kind == "classification" and task.at_least is None:
        return _class_indices(task, cells)
    numbers = _numbers(task.target, cells)
    valid = ~np.isnan(numbers)
    if task.at_least is None:
        return numbers, valid
    return np.where(valid, (numbers >= task.at_least).astype(np.int64), -1), valid


def _fit_regression(name: str, column: ColumnSummary) -> Task:
    numbers = _number_statistics(name, column)
    if numbers.constant or not 0 < numbers.sd < np.inf:
        raise DataError(
            f"The target {name!r} does not vary in the train rows, or too wildly for float64: "
            f"{numbers.minimum:g} to {numbers.maximum:g}.",
            "Name another target.",
        )
    return Task(kind="regression", target=name, mean=numbers.mean, scale=numbers.sd)


def _fit_threshold(target: Threshold, column: ColumnSummary) -> Task:
    numbers = _number_statistics(target.column, column)
    if not numbers.minimum < target.at_least <= numbers.maximum:
        raise DataError(
            f"The target {target.column!r} at_least {target.at_least:g} has one class: its train rows reach from "
            f"{numbers.minimum:g} to {numbers.maximum:g}.",
            "Set task.target.at_least to a value between them.",
        )
    return Task(kind="classification", target=target.column, at_least=target.at_least, classes=("False", "True"))


def _number_statistics(name: str, column: ColumnSummary) -> NumberStatistics:
    if column.numbers is None:
        raise _no_number(name, column.unreadable["number"])
    if not column.numbers.count:
        raise DataError(f"The target {name!r} has no number in the train rows.", "Name another target.")
    return column.numbers


def _no_number(name: str, bad: BadCell) -> CellError:
    return CellError(
        f"The target {name!r} has to be a number, but",
        bad.row,
        f" holds {bad.value!r}.",
        "Correct or empty that cell, or use task.type: classification with the column's name as target.",
    )


def _classes(name: str, column: ColumnSummary) -> tuple[str, ...]:
    labels = column.categories.texts.to_pylist()
    if column.categories.constant:
        raise DataError(f"The target {name!r} has one class in the train rows: {labels[0]!r}.", _ONE_CLASS_FIX)
    fractional = column.numbers is not None and not column.numbers.whole
    if column.distinct > (_MOST_FRACTIONAL_CLASSES if fractional else MOST_CLASSES):
        raise DataError(
            f"The target {name!r} has {column.distinct} different values, such as {labels[0]!r}; too many for classes.",
            "Use task.type: regression, or a threshold: target: {column: NAME, at_least: VALUE}.",
        )
    numbers = read(column.categories.texts, "number")
    if isinstance(numbers, BadCell) or numbers.null_count:
        return tuple(sorted(labels))
    return tuple(label for _, label in sorted(zip(numbers.to_pylist(), labels, strict=True)))


def _class_indices(task: Task, cells: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    labels = texts(cells)
    valid = labels.is_valid().to_numpy(zero_copy_only=False)
    indices = pc.index_in(labels, value_set=pa.array(task.classes)).fill_null(-1).to_numpy().astype(np.int64)
    unknown = valid & (indices < 0)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise CellError(
            f"The target {task.target!r} holds {labels[row].as_py()!r} in",
            row,
            f"; the classes of the train rows are {', '.join(task.classes[:20])}.",
            "Correct that cell, drop such rows, or split so that the train rows have every class.",
        )
    return indices, valid


def _numbers(name: str, cells: pa.Array) -> np.ndarray:
    numbers = read(cells, "number")
    if isinstance(numbers, BadCell):
        raise _no_number(name, numbers)
    values: np.ndarray = numbers.to_numpy(zero_copy_only=False)
    return values
