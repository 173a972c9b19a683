"""The first target: which column of a table that nobody has described yet is probably the one to predict.

A named column is taken, else one with a usual name, else the last that can be learnt. It judges by what a glimpse
showed, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from raymill.errors import DataError
from raymill.glimpse import Glimpse, is_all_different, is_id_name
from raymill.schema import absent_column
from raymill.spec import TaskSpec
from raymill.statistics import ColumnSummary
from raymill.target import fit_task

_USUAL_NAMES = ("target", "label", "class", "y", "outcome", "response")
_MOST_NUMBER_CLASSES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTarget:
    """A column, the task that fits its cells, and why this column."""

    task: TaskSpec
    reason: str
    doubt: str | None = None


def choose_target(glimpse: Glimpse, asked: str | None) -> FirstTarget:
    """The target asked for, or the likeliest one.

    Raises DataError for an absent column, for one that can't be learnt where all rows were seen, and where no column
    can be. What later rows may still mend is told as a doubt.
    """
    columns = glimpse.summary.columns
    if asked is not None:
        if asked not in columns:
            raise absent_column("--target", asked, columns)
        task = _task_for(asked, columns[asked])
        problem = _problem(task, glimpse)
        if problem is not None and glimpse.whole:
            raise problem
        return FirstTarget(task=task, reason="asked for", doubt=None if problem is None else problem.what)
    for name, reason in _candidates(glimpse):
        task = _task_for(name, columns[name])
        if _problem(task, glimpse) is None:
            return FirstTarget(task=task, reason=reason)
    raise DataError(
        f"No column of the {glimpse.summary.rows:,} rows seen looks like a target: {', '.join(columns)}.",
        "Name one: raymill init DATA --target COLUMN.",
    )


def _candidates(glimpse: Glimpse) -> Iterator[tuple[str, str]]:
    columns = glimpse.summary.columns
    by_name = {name.strip().lower(): name for name in reversed(columns)}
    yield from ((by_name[usual], "its name is a usual one") for usual in _USUAL_NAMES if usual in by_name)
    *others, last = columns
    if _may_be_guessed(last, columns[last]):
        yield last, "the last column"
    for name in reversed(others):
        if _may_be_guessed(name, columns[name]):
            yield name, "the last column that can be learnt"


def _may_be_guessed(name: str, column: ColumnSummary) -> bool:
    is_time = column.timestamps is not None and column.numbers is None
    is_text_of_a_row = column.numbers is None and is_all_different(column)
    return not (is_time or is_text_of_a_row or (is_id_name(name) and is_all_different(column)))


def _task_for(name: str, column: ColumnSummary) -> TaskSpec:
    """Classification for texts, truth values and few whole numbers, two rows to a value or more; else regression."""
    kind: Literal["classification", "regression"] = "classification"
    if column.numbers is not None and not pa.types.is_boolean(column.native):
        most = max(2, min(_MOST_NUMBER_CLASSES, column.rows // 2))
        kind = "classification" if column.numbers.whole and column.distinct <= most else "regression"
    return TaskSpec(type=kind, target=name)


def _problem(task: TaskSpec, glimpse: Glimpse) -> DataError | None:
    try:
        fit_task(task, glimpse.summary)
    except DataError as error:
        return error
    return None
