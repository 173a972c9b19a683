"""JSON rows are checked strictly, every problem named by row and column, and agree with the table path."""

from __future__ import annotations

import difflib
import json
import pickle
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from raymill.schema import Column, RowsError, Schema
from tests.datasets import CANONICAL

SCHEMA = Schema(
    columns=(
        Column(name="age", kind="number"),
        Column(name="job", kind="category"),
        Column(name="member", kind="boolean"),
        Column(name="since", kind="timestamp"),
        Column(name="debt", kind="number"),
    )
)


def refused(rows: list[Any]) -> list[dict[str, Any]]:
    with pytest.raises(RowsError) as caught:
        SCHEMA.table_from_rows(rows)
    return caught.value.problems


def test_rows_become_the_canonical_table_that_conforms_to_itself() -> None:
    table = SCHEMA.table_from_rows(
        [
            {"debt": 2.5, "age": 41, "job": " cook ", "member": True, "since": "2024-01-01T07:00+01:00"},
            {"age": None, "job": "NA", "member": None, "since": ""},
        ]
    )
    assert table.to_pylist() == [
        {"age": 41.0, "job": "cook", "member": True, "since": datetime(2024, 1, 1, 6), "debt": 2.5},
        {"age": None, "job": None, "member": None, "since": None, "debt": None},
    ]
    assert table.schema.types == [CANONICAL[column.kind] for column in SCHEMA.columns]
    assert SCHEMA.conform(table).equals(table)


def test_a_category_may_be_a_number_by_the_rule_of_the_table_path() -> None:
    values = [7, 7.0, "7", 0.5, 1e-7, 10**20]
    table = SCHEMA.table_from_rows([{"job": value} for value in values])
    assert table["job"].to_pylist() == ["7", "7", "7", "0.5", "1e-7", "1" + "0" * 20]
    native = SCHEMA.conform(SCHEMA.table_from_rows([{}]).set_column(1, "job", pa.array([1e-7])))
    assert native["job"].to_pylist() == ["1e-7"]


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("age", "41", 'expected a finite number, found "41"'),
        ("age", True, "expected a finite number, found true"),
        ("age", float("nan"), "expected a finite number, found NaN"),
        ("debt", float("inf"), "expected a finite number, found Infinity"),
        ("job", True, "expected a string, found true"),
        ("job", ["cook"], 'expected a string, found ["cook"]'),
        ("job", float("nan"), "expected a string, found NaN"),
        ("member", "true", 'expected true or false, found "true"'),
        ("member", 1, "expected true or false, found 1"),
        ("since", 1_700_000_000, "expected an ISO 8601 date or date-time in a string, found 1700000000"),
        ("since", "soon", 'expected an ISO 8601 date or date-time in a string, found "soon"'),
    ],
)
def test_a_wrong_type_is_named_by_row_and_column(column: str, value: Any, problem: str) -> None:
    assert refused([{"age": 1}, {column: value}]) == [{"row": 1, "column": column, "problem": problem}]


@pytest.mark.parametrize(("column", "value"), [("age", 10**400), ("job", "\ud800"), ("since", "\ud800")])
def test_values_that_arrow_cannot_hold_are_a_problem_and_no_crash(column: str, value: Any) -> None:
    assert [(problem["row"], problem["column"]) for problem in refused([{column: value}])] == [(0, column)]


def test_all_problems_are_listed_in_row_order() -> None:
    problems = refused([{"debt": "x"}, {"age": 1}, {"age": "y", "salary": 3, "member": 0}])
    assert [(p["row"], p["column"]) for p in problems] == [(0, "debt"), (2, "salary"), (2, "age"), (2, "member")]


def test_an_unknown_key_gets_the_nearest_name() -> None:
    (problem,) = refused([{"agee": 1}])
    assert problem["problem"] == ("unknown column; did you mean 'age'? the model takes age, job, member, since, debt")


def test_rows_that_are_no_objects_and_no_rows_at_all_are_refused() -> None:
    assert refused([{"age": 1}, [1, 2]]) == [{"row": 1, "column": "", "problem": "expected an object, found [1, 2]"}]
    assert refused([]) == []


def test_problems_are_limited_and_the_error_counts_and_pickles() -> None:
    with pytest.raises(RowsError) as caught:
        SCHEMA.table_from_rows([{"age": "x" * 1_000}] * 500)
    error = pickle.loads(pickle.dumps(caught.value))
    assert len(error.problems) == 100 and error.problems == caught.value.problems
    assert error.what == caught.value.what and error.what.startswith("Row 0, column 'age': expected a finite number")
    assert len(error.what) < 300
    json.dumps(error.problems)


def test_the_nearest_name_of_a_misspelt_key_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    nearest = difflib.get_close_matches
    monkeypatch.setattr(difflib, "get_close_matches", lambda key, *a, **kw: asked.append(key) or nearest(key, *a, **kw))
    problems = refused([{"agee": 1}] * 5_000)
    assert asked == ["agee"]
    assert [problem["row"] for problem in problems] == list(range(100))
    assert "did you mean 'age'?" in problems[99]["problem"]


def test_of_many_unknown_keys_only_those_that_are_shown_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(difflib, "get_close_matches", lambda key, *a, **kw: asked.append(key) or [])
    refused([{f"key{i}": 1} for i in range(5_000)])
    assert len(asked) == 100


def test_one_bad_cell_among_many_is_found_without_reading_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from raymill import json_rows

    calls: list[int] = []
    cells = json_rows._cells
    monkeypatch.setattr(json_rows, "_cells", lambda values, kind: calls.append(len(values)) or cells(values, kind))
    problems = refused([{"age": 1.0}] * 4_999 + [{"debt": "x"}])
    assert [(p["row"], p["column"]) for p in problems] == [(4_999, "debt")]
    assert len(calls) < 50
