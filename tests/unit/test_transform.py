"""A transform is fitted on train rows, encodes a row alike alone or in a crowd, and survives JSON exactly."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymill.cells import coded, is_coded
from raymill.columns import CategoryColumn, NumberColumn
from raymill.errors import DataError
from raymill.layout import CategoryFeature
from raymill.schema import Schema, infer_schema
from raymill.spec import FeatureType
from raymill.statistics import TableSummary
from raymill.transform import Transform


def fit(
    columns: dict[str, Any], types: dict[str, FeatureType] | None = None, train: np.ndarray | None = None
) -> tuple[Schema, Transform]:
    table = pa.table(columns)
    table = table.append_column("y", pa.array(range(table.num_rows)))
    summary = TableSummary.of(table, np.ones(table.num_rows, dtype=bool) if train is None else train)
    schema = infer_schema(summary, types or {}, (), "y")
    return schema, Transform.fit(schema, summary)


def features(schema: Schema, transform: Transform, columns: dict[str, Any]) -> dict[str, list[float]]:
    encoded = transform.apply(schema.conform(pa.table(columns)))
    assert encoded.numbers.dtype == np.float32 and encoded.numbers.flags.c_contiguous
    assert encoded.categories.dtype == np.int32
    layout = transform.layout
    names = [*layout.numbers, *(feature.name for feature in layout.categories)]
    return dict(zip(names, [*encoded.numbers.T.tolist(), *encoded.categories.T.tolist()], strict=True))


def test_many_codes_of_texts_give_the_features_of_the_texts_by_rows_or_by_columns() -> None:
    chance = np.random.default_rng(3)
    few = pa.array([" a", "a", "b", "NA", None]).take(pa.array(chance.integers(0, 5, 9_000)))
    many = pa.array([f"w{i}" for i in range(400)]).take(pa.array(chance.integers(0, 400, 9_000)))
    columns = {"few": few, "many": many, "n": chance.normal(size=9_000)}
    schema, transform = fit(columns)
    texts = transform.apply(schema.conform(pa.table(columns)))
    assert texts.numbers.shape[1] and texts.categories.shape[1]
    codes = schema.conform(pa.table(columns | {"few": coded(few), "many": coded(many)}))
    assert is_coded(codes["few"].type) and is_coded(codes["many"].type)
    assert codes["few"].null_count == schema.conform(pa.table(columns))["few"].null_count > 0
    by_columns = transform.apply(codes, order="F")
    assert by_columns.numbers.flags.f_contiguous
    for found in (transform.apply(codes), by_columns):
        assert found.numbers.tobytes() == texts.numbers.tobytes()
        assert found.categories.tobytes() == texts.categories.tobytes()


def test_numbers_are_imputed_by_the_train_median_then_standardised() -> None:
    train = np.array([True, True, True, True, False])
    schema, transform = fit({"x": [1.0, 2.0, 9.0, None, 1e6]}, train=train)
    imputed = np.array([1.0, 2.0, 9.0, 2.0])
    found = features(schema, transform, {"x": [1.0, None, 100.0]})
    expected = (np.array([1.0, 2.0, 100.0]) - imputed.mean()) / imputed.std()
    assert found["x"] == pytest.approx(expected, rel=1e-6)
    assert found["x:missing"] == [0, 1, 0]


def test_a_number_without_gaps_in_train_has_no_missing_feature_and_imputes_later_gaps() -> None:
    schema, transform = fit({"x": [1.0, 2.0, 6.0]})
    assert transform.layout.numbers == ("x",)
    assert features(schema, transform, {"x": [2.0]})["x"] == features(schema, transform, {"x": ["NA"]})["x"]


def test_a_constant_number_with_gaps_is_only_its_missing_feature() -> None:
    schema, transform = fit({"x": [0.1, None, 0.1], "z": [1, 2, 3]})
    assert transform.layout.numbers == ("x:missing", "z")
    assert features(schema, transform, {"x": [5, None], "z": [2, 2]})["x:missing"] == [0, 1]


def test_extreme_numbers_stay_finite() -> None:
    schema, transform = fit({"x": [0.0, 1.0]})
    assert features(schema, transform, {"x": [1e300, -1e300]})["x"] == [1e6, -1e6]
    with pytest.raises(DataError, match="too far to standardise"):
        fit({"x": [1e300, -1e300]})


def test_few_categories_are_one_hot_by_count_then_name() -> None:
    schema, transform = fit({"c": ["b", "a", "b", "c", None, "a"]})
    assert transform.layout.numbers == ("c=a", "c=b", "c=c", "c:missing")
    found = features(schema, transform, {"c": ["a", "c", None, "never seen"]})
    assert list(zip(*found.values(), strict=True)) == [(1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 0, 0, 0)]


def test_a_missing_category_that_train_never_missed_is_unknown() -> None:
    schema, transform = fit({"c": ["a", "b"]})
    assert features(schema, transform, {"c": [None, "b"]}) == {"c=a": [0, 0], "c=b": [0, 1]}


def test_many_categories_are_indices_with_unknown_first() -> None:
    texts = [f"v{i:02d}" for i in range(20)]
    schema, transform = fit({"c": [*texts, "v07", None]})
    assert transform.layout.categories == (CategoryFeature(name="c", size=22),)
    found = features(schema, transform, {"c": ["v07", "v00", "never seen", None]})
    assert found == {"c": [1, 2, 0, 21]}


def test_rare_categories_share_a_bucket_with_unseen_ones() -> None:
    texts = ["often"] * 990 + ["sometimes"] * 5 + ["rare 1"] * 4 + ["rare 2"] * 4
    schema, transform = fit({"c": texts})
    assert transform.columns[0] == CategoryColumn(name="c", values=("often", "sometimes"), rare=True, missing=False)
    assert transform.layout.numbers == ("c=often", "c=sometimes", "c:rare")
    assert features(schema, transform, {"c": ["rare 1", "never seen", "often", ""]})["c:rare"] == [1, 1, 0, 1]


def test_in_a_small_table_no_category_is_rare_nor_where_all_would_be() -> None:
    _, small = fit({"c": ["a"] * 500 + ["b"]})
    assert small.layout.numbers == ("c=a", "c=b")
    _, flat = fit({"c": [f"v{i % 600}" for i in range(1_200)]})
    assert flat.layout.categories == (CategoryFeature(name="c", size=601),)


def test_booleans_are_minus_one_one_and_zero_for_missing() -> None:
    schema, transform = fit({"b": ["yes", "no", None]})
    assert features(schema, transform, {"b": ["no", "yes", ""]}) == {"b": [-1, 1, 0]}


def test_timestamps_lie_on_circles_of_what_varies() -> None:
    schema, transform = fit({"t": ["2024-01-01T06:00", "2024-01-08T12:00", None]})
    assert transform.layout.numbers == ("t:hour_sin", "t:hour_cos", "t:missing")
    found = features(schema, transform, {"t": ["2024-05-05T06:00", "2024-05-05T13:30:59", None]})
    half_past_one = 2 * math.pi * 13.5 / 24
    assert found["t:hour_sin"] == pytest.approx([1, math.sin(half_past_one), 0], abs=1e-6)
    assert found["t:hour_cos"] == pytest.approx([0, math.cos(half_past_one), 0], abs=1e-6)
    assert found["t:missing"] == [0, 0, 1]


def test_dates_have_weekday_and_month_but_no_hour() -> None:
    schema, transform = fit({"d": [datetime(2024, 1, 1), datetime(2024, 2, 6), datetime(1969, 12, 31)]})
    names = ("d:weekday_sin", "d:weekday_cos", "d:month_sin", "d:month_cos")
    assert transform.layout.numbers == names
    # A Wednesday in December, before 1970.
    found = features(schema, transform, {"d": [datetime(1969, 12, 31)]})
    weekday, month = 2 * math.pi * 2 / 7, 2 * math.pi * 11 / 12
    expected = [math.sin(weekday), math.cos(weekday), math.sin(month), math.cos(month)]
    assert [found[name][0] for name in names] == pytest.approx(expected, abs=1e-6)


def test_two_features_of_one_name_and_no_feature_at_all_are_refused() -> None:
    with pytest.raises(DataError, match="Two features would be called 'a:missing'"):
        fit({"a": [1.0, None, 2.0], "a:missing": [1, 2, 3]})
    with pytest.raises(DataError, match=r"No column is left to learn from \(a: one constant value\)"):
        fit({"a": [1, 1, 1]})


WORDS = ("a", "b", "never seen", "", None, "c", *(f"w{i}" for i in range(30)))
ROW = st.fixed_dictionaries(
    {
        "n": st.floats(allow_nan=False, allow_infinity=False) | st.none(),
        "m": st.integers(-(2**40), 2**40) | st.none(),
        "small": st.sampled_from(WORDS[:6]),
        "large": st.sampled_from(WORDS),
        "b": st.sampled_from([True, False, None]),
        "t": st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)) | st.none(),
    }
)
TYPES = pa.schema(
    [
        ("n", pa.float64()),
        ("m", pa.int64()),
        ("small", pa.string()),
        ("large", pa.string()),
        ("b", pa.bool_()),
        ("t", pa.timestamp("us")),
    ]
)
RNG = np.random.default_rng(2)
FITTED = fit(
    {
        "n": pa.array(RNG.normal(3, 1e-3, 1_200), mask=RNG.random(1_200) < 0.1),
        "m": RNG.integers(0, 9, 1_200),
        "small": [("a", "b", "c")[i % 3] for i in range(1_200)],
        "large": [f"w{i % 25}" if i % 50 else None for i in range(1_199)] + ["rare"],
        "b": [i % 2 == 0 for i in range(1_200)],
        "t": [datetime(2024, 1 + i % 12, 1 + i % 27, i % 24) for i in range(1_200)],
    }
)


@settings(deadline=None, max_examples=60)
@given(st.lists(ROW, min_size=1, max_size=8), st.integers(0, 7), st.sampled_from([1, 70, 2_300]))
def test_a_row_alone_has_the_same_bytes_as_among_many(rows: list[dict[str, Any]], at: int, times: int) -> None:
    schema, transform = FITTED
    table = schema.conform(pa.concat_tables([pa.Table.from_pylist(rows, TYPES)] * times))
    index = table.num_rows - 1 - at % len(rows)
    crowd, alone = transform.apply(table), transform.apply(table.slice(index, 1))
    assert crowd.numbers[index].tobytes() == alone.numbers[0].tobytes()
    assert crowd.categories[index].tobytes() == alone.categories[0].tobytes()
    assert np.isfinite(crowd.numbers).all()
    sizes = [feature.size for feature in transform.layout.categories]
    assert (crowd.categories >= 0).all() and (crowd.categories < sizes).all()


def test_a_transform_survives_json_exactly() -> None:
    schema, transform = FITTED
    again = Transform.from_json(json.loads(json.dumps(transform.to_json())))
    assert again == transform and again.layout == transform.layout
    assert isinstance(again.columns[0], NumberColumn)
    rows = schema.conform(pa.Table.from_pylist([{"n": 0.1, "large": "w1"}, {"small": "b"}], TYPES))
    assert again.apply(rows).numbers.tobytes() == transform.apply(rows).numbers.tobytes()


def test_an_empty_table_has_empty_features() -> None:
    schema, transform = FITTED
    encoded = transform.apply(schema.conform(TYPES.empty_table()))
    assert encoded.numbers.shape == (0, len(transform.layout.numbers))
    assert encoded.categories.shape == (0, len(transform.layout.categories))
