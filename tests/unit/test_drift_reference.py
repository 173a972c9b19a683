"""The reference says how many train rows are in each bin, and how many of the next rows would be."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pyarrow as pa

from raymill.drift_reference import MOST_CATEGORIES, DriftReference, ReferenceColumn
from raymill.schema import infer_schema
from raymill.statistics import TableSummary
from raymill.transform import Transform


def _reference(table: pa.Table) -> DriftReference:
    train = np.ones(table.num_rows, bool)
    summary = TableSummary.of(table.append_column("y", pa.array(np.arange(table.num_rows) % 2)), train)
    schema = infer_schema(summary, {"c": "category"} if "c" in table.column_names else {}, (), "y")
    return DriftReference.of(Transform.fit(schema, summary), summary)


def _column(values: object, name: str = "x") -> ReferenceColumn:
    return _reference(pa.table({name: values})).columns[0]


def test_a_number_is_cut_at_its_deciles_and_beyond_its_extent_there_is_no_train_row() -> None:
    found = _column([*np.arange(1.0, 101.0), None, None])
    assert found.ends == (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0)
    assert found.counts == (0, *[10] * 10, 0, 2)


def test_a_number_that_many_rows_have_is_told_from_those_below_it() -> None:
    found = _column([*[-3.0, -2.0] * 5, *[0.0] * 60, *np.arange(1.0, 31.0)])
    assert found.ends == (-3.0, -2.0, 0.0, 10.0, 20.0, 30.0)
    assert found.counts == (0, 10, 60, 10, 10, 10, 0, 0)


def test_a_number_of_two_values_has_a_bin_for_each() -> None:
    assert _column([0, 0, 0, 1]) == ReferenceColumn(name="x", counts=(0, 3, 1, 0, 0), ends=(0.0, 0.0, 1.0))


def test_a_categorys_bins_are_its_most_frequent_values_the_other_known_ones_and_what_is_new() -> None:
    frequent = [f"{index:03}" for index in range(MOST_CATEGORIES) for _ in range(40)]
    others = [f"other {index}" for index in range(20) for _ in range(6)]
    rare = [f"rare {index}" for index in range(30)]
    found = _column([*frequent, *others, *rare, None], "c")
    assert found.counts == (*[40] * MOST_CATEGORIES, 120, 30, 1) and found.ends == ()


def test_values_as_frequent_as_the_fifty_first_have_no_bin_of_their_own() -> None:
    found = _column([*["much"] * 100, *[f"{index:03}" for index in range(200) for _ in range(7)]], "c")
    assert found.counts == (100, 1400, 0, 0)


def test_rows_of_values_that_were_just_not_too_rare_stand_for_those_that_train_has_missed() -> None:
    assert _column([*["a"] * 300, *["b"] * 200, "c", "d", "e"], "c").counts == (300, 200, 0, 3, 0)
    assert _column([*["a"] * 3000, *["b"] * 4, *["c"] * 5, *["d"] * 6], "c").counts == (3000, 6, 0, 9, 0)


def test_booleans_and_times_have_their_rows_and_their_gaps() -> None:
    assert _column([True, True, False, None]).counts == (1, 2, 1)
    assert _column([datetime(2026, 1, 1), datetime(2026, 5, 1), None]).counts == (2, 1)


def test_it_is_json_and_holds_no_category() -> None:
    table = pa.table({"c": ["secret", "word", "secret", None] * 3, "n": [0.1, 0.2, 0.3, 1e100] * 3})
    found = _reference(table)
    text = json.dumps(found.to_json())
    assert "secret" not in text
    assert DriftReference.from_json(json.loads(text)) == found
    assert DriftReference.from_json(None) is None
