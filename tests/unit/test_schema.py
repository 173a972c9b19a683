"""The schema is inferred from every row, refuses what contradicts it, and reads text and native Arrow alike."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raymill.errors import DataError
from raymill.schema import Column, Schema, infer_schema, nearly_numbers
from raymill.spec import FeatureType
from raymill.statistics import TableSummary


def infer(columns: dict[str, Any], types: dict[str, FeatureType] | None = None, ignore: tuple[str, ...] = ()) -> Schema:
    table = pa.table(columns)
    table = table.append_column("y", pa.array(range(table.num_rows)))
    summary = TableSummary.of(table, np.ones(table.num_rows, dtype=bool))
    return infer_schema(summary, types or {}, ignore, "y")


def schema(**kinds: FeatureType) -> Schema:
    return Schema(columns=tuple(Column(name=name, kind=kind) for name, kind in kinds.items()))


def test_kinds_are_inferred_from_text_and_from_native_types() -> None:
    kinds = infer(
        {
            "hour": ["1", "2.5", "NA"],
            "flag": ["0", "1", "1"],
            "word": ["yes", "no", ""],
            "code": ["1", "2", "A"],
            "when": ["2024-01-01", "2024-01-02T03:04Z", None],
            "native_flag": [True, False, None],
            "native_day": [date(2024, 1, 1), date(2024, 1, 2), None],
            "price": [Decimal("1.5"), Decimal("2.5"), None],
            "label": pa.array(["a", "b", "a"]).dictionary_encode(),
        }
    ).kinds
    assert kinds == {
        "hour": "number",
        "flag": "number",
        "word": "boolean",
        "code": "category",
        "when": "timestamp",
        "native_flag": "boolean",
        "native_day": "timestamp",
        "price": "number",
        "label": "category",
    }


def test_target_and_ignored_columns_are_no_features() -> None:
    assert infer({"a": [1, 2], "b": [1, 2]}, ignore=("b",)).kinds == {"a": "number"}


def test_a_declared_type_wins_over_the_inferred_one() -> None:
    columns = {"hour": ["1", "2"], "flag": [0, 1]}
    assert infer(columns, {"hour": "category", "flag": "boolean"}).kinds == {"hour": "category", "flag": "boolean"}


def test_a_declared_type_that_a_cell_contradicts_is_refused_with_that_cell() -> None:
    with pytest.raises(DataError, match=r"'hour' is a number, but row 1 .* holds 'noon'.*\n.* or set features.hour"):
        infer({"hour": ["1", "noon"]}, {"hour": "number"})


def test_a_declared_type_for_cells_that_can_be_no_feature_is_refused() -> None:
    with pytest.raises(DataError, match=r"'x' the type category, and its cells of type list<item: int64> can be no"):
        infer({"x": [[1], [2]]}, {"x": "category"})


@pytest.mark.parametrize(("types", "ignore"), [({"huor": "number"}, ()), ({}, ("huor",))])
def test_a_named_column_that_is_absent_gets_the_nearest_name(
    types: dict[str, FeatureType], ignore: tuple[str, ...]
) -> None:
    with pytest.raises(DataError, match=r"no column 'huor'") as caught:
        infer({"hour": [1, 2]}, types, ignore)
    assert caught.value.fix == "Did you mean 'hour'? Its columns: hour, y."


def test_columns_without_information_are_left_out_with_the_reason() -> None:
    rows = 2_500
    found = infer(
        {
            "empty": pa.nulls(rows),
            "blank": ["NA"] * rows,
            "same": [7.0] * rows,
            "same_or_missing": ["x", ""] * (rows // 2),
            "row_id": [f"id{i}" for i in range(rows)],
            "number_id": list(range(rows)),
            "nested": [[1]] * rows,
        }
    )
    assert found.left_out == (
        ("empty", "only missing cells"),
        ("blank", "only missing cells"),
        ("same", "one constant value"),
        ("row_id", "identifier or free text"),
        ("nested", "its type list<item: int64> is not supported"),
    )
    assert found.kinds == {"same_or_missing": "category", "number_id": "number"}


@pytest.mark.parametrize(
    "values",
    [
        pa.array([10**30 + i for i in range(3)], pa.decimal128(38, 0)),
        pa.array([10**50 + i for i in range(3)], pa.decimal256(60, 0)),
        pa.array([2**63 + i for i in range(3)], pa.uint64()),
    ],
)
def test_different_integers_that_are_one_float_are_left_out_as_such(values: pa.Array) -> None:
    assert infer({"x": values}).left_out == (("x", "its different values are equal as 64-bit floats"),)


def test_an_identifier_stays_when_the_spec_gives_its_type() -> None:
    assert infer({"id": [f"id{i}" for i in range(2_500)]}, {"id": "category"}).kinds == {"id": "category"}


def test_a_schema_survives_json() -> None:
    found = infer({"a": [1, 2], "b": ["x", "y"], "c": [1, 1]})
    assert Schema.from_json(json.loads(json.dumps(found.to_json()))) == found


MIXED = schema(n="number", c="category", b="boolean", t="timestamp")
CANONICAL = [
    {"n": 1.0, "c": "7", "b": True, "t": datetime(2024, 1, 1, 6)},
    {"n": None, "c": None, "b": None, "t": None},
]


@pytest.mark.parametrize("rows", [2, 3_000])
def test_text_and_native_columns_conform_to_the_same_table(rows: int) -> None:
    text = {"t": ["2024-01-01T07:00+01:00", ""], "n": [" 1", "NA"], "c": ["7.0", "?"], "b": ["Yes", "null"]}
    native = {
        "t": pa.array([datetime(2024, 1, 1, 6), None], pa.timestamp("ms")),
        "n": pa.array([1, None], pa.int32()),
        "c": pa.array([7.0, float("nan")]),
        "b": pa.array([True, None]),
    }
    times = rows // 2
    for columns in (text, native):
        table = pa.concat_tables([pa.table({"extra": ["x", "y"], **columns})] * times)
        conformed = MIXED.conform(table)
        assert conformed.to_pylist() == CANONICAL * times
        assert conformed.column_names == ["n", "c", "b", "t"]
        assert MIXED.conform(conformed).equals(conformed)


def test_an_absent_column_and_a_bad_cell_are_named() -> None:
    with pytest.raises(DataError, match="no column 'b', which the model names"):
        schema(a="number", b="number").conform(pa.table({"a": [1], "B": [2]}))
    for rows in (3, 3_000):
        bad = pa.table({"a": ["1"] * rows, "b": ["2"] * (rows - 1) + ["two"]})
        with pytest.raises(DataError, match=rf"Column 'b' is a number, but row {rows - 1} .* holds 'two'") as caught:
            schema(a="number", b="number").conform(bad)
        assert caught.value.fix == "Correct or empty that cell: the model was trained with a number there."
    with pytest.raises(DataError, match=r"'a' is a category, and not of type list<item: int64>"):
        schema(a="category").conform(pa.table({"a": [[1]]}))


def test_an_empty_table_conforms() -> None:
    empty = pa.table({name: pa.array([], pa.string()) for name in MIXED.kinds})
    assert MIXED.conform(empty).num_rows == 0


def test_the_json_schema_describes_one_row() -> None:
    described = MIXED.json_schema()
    assert described["additionalProperties"] is False
    assert described["properties"]["n"] == {"type": ["number", "null"]}
    assert list(described["properties"]) == ["n", "c", "b", "t"]


def test_a_category_by_a_few_cells_only_is_known_unless_it_is_typed() -> None:
    cells = {"price": [*map(str, range(30)), "1.5 €"], "code": ["1", "A"] * 15 + ["B"], "size": list(range(31))}
    table = pa.table(cells | {"y": list(range(31))})
    summary = TableSummary.of(table, np.ones(31, dtype=bool))
    inferred = infer_schema(summary, {}, (), "y")
    assert inferred.kinds["price"] == "category"
    assert nearly_numbers(summary, inferred, ()) == {"price": "1.5 €"}
    assert nearly_numbers(summary, inferred, ("price",)) == {}


def test_numbers_left_out_as_text_for_one_cell_are_known_unless_they_are_typed_or_ignored() -> None:
    prices = [*np.random.default_rng(1).normal(size=2_000).astype(str), "1.5 EUR"]
    table = pa.table({"price": prices, "note": [f"n{i}" for i in range(2_001)], "y": list(range(2_001))})
    summary = TableSummary.of(table, np.ones(2_001, dtype=bool))
    inferred = infer_schema(summary, {}, (), "y")
    assert [name for name, _ in inferred.left_out] == ["price", "note"]
    assert nearly_numbers(summary, inferred, ()) == {"price": "1.5 EUR"}
    assert nearly_numbers(summary, infer_schema(summary, {"price": "category"}, (), "y"), ("price",)) == {}
    assert nearly_numbers(summary, infer_schema(summary, {}, ("price",), "y"), ()) == {}
    assert nearly_numbers(summary, infer_schema(summary, {}, (), "price"), ()) == {}
