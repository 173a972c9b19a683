"""One pass keeps what any kind needs: evidence of all rows, statistics of train rows, merged in order."""

from __future__ import annotations

import itertools
import pickle
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymill.cells import BadCell
from raymill.errors import DataError
from raymill.statistics import ColumnSummary, TableSummary


def summarise(values: list[Any], train: list[bool] | None = None, dtype: pa.DataType | None = None) -> ColumnSummary:
    table = pa.table({"x": pa.array(values, dtype)})
    return TableSummary.of(table, np.array([True] * len(values) if train is None else train, dtype=bool)).columns["x"]


def test_statistics_are_of_train_rows_and_evidence_is_of_all() -> None:
    column = summarise(["1", "3", "x", "NA", "3"], [True, True, False, True, False])
    assert column.unreadable["number"] == BadCell(row=2, value="x")
    assert column.numbers is None and column.statistics("number") is None
    assert column.missing == 1 and column.categories.sorted() == [("1", 1), ("3", 1)]
    numbers = summarise(["1", "3", "900"], [True, True, False]).numbers
    assert numbers is not None
    assert (numbers.count, numbers.mean, numbers.minimum, numbers.maximum, numbers.sd) == (2, 2.0, 1.0, 3.0, 1.0)


def test_a_bad_cell_keeps_its_row_over_merged_pieces() -> None:
    merged = reduce(ColumnSummary.merge, [summarise(["1", "2"]), summarise(["3"]), summarise(["4", "no"])])
    assert merged.unreadable["number"] == BadCell(row=4, value="no")
    assert merged.merge(summarise(["bad"])).unreadable["number"] == BadCell(row=4, value="no")
    assert merged.numbers is None and merged.rows == 5


@given(st.lists(st.floats(-1e9, 1e9) | st.none(), max_size=60), st.integers(1, 5), st.randoms())
def test_moments_of_pieces_equal_those_of_the_whole(values: list[float | None], pieces: int, random: Any) -> None:
    train = [random.random() < 0.7 for _ in values]
    table = pa.table({"x": pa.array(values, pa.float64())})
    edges = np.linspace(0, len(values), pieces + 1).astype(int)
    parts = [
        TableSummary.of(table.slice(a, b - a), np.array(train[a:b], dtype=bool)) for a, b in itertools.pairwise(edges)
    ]
    numbers = reduce(TableSummary.merge, parts).columns["x"].numbers
    assert numbers is not None
    kept = np.array([v for v, t in zip(values, train, strict=True) if t and v is not None])
    assert numbers.count == len(kept)
    if len(kept):
        assert numbers.mean == pytest.approx(kept.mean(), rel=1e-9, abs=1e-6)
        assert numbers.sd == pytest.approx(kept.std(), rel=1e-6, abs=1e-3)
        assert (numbers.minimum, numbers.maximum) == (kept.min(), kept.max())
        assert numbers.quantiles.at(0.5) == pytest.approx(np.median(kept))


def test_the_variance_of_large_close_numbers_is_not_lost() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=3_000)
    parts = [summarise(list(part)) for part in np.array_split(values, 7)]
    numbers = reduce(ColumnSummary.merge, parts).numbers
    assert numbers is not None and numbers.sd == pytest.approx(values.std(), rel=1e-6)


def test_text_and_native_columns_of_the_same_cells_agree() -> None:
    native = summarise([1, 2, None, 2])
    for column in (summarise(["1", "2", "", "2"]), summarise([1.0, 2.0, float("nan"), 2.0])):
        assert column.categories.sorted() == native.categories.sorted() == [("2", 2), ("1", 1)]
        assert column.numbers is not None and native.numbers is not None
        assert (column.numbers.mean, column.missing) == (native.numbers.mean, native.missing)


def test_many_different_numbers_are_summarised_as_their_texts_would_be() -> None:
    values = np.random.default_rng(4).normal(size=60_000).round(4)
    values[::7] = np.nan
    native = TableSummary.of(pa.table({"x": values}), np.ones(60_000, bool)).columns["x"]
    texts = TableSummary.of(
        pa.table({"x": pa.array(values, from_pandas=True).cast(pa.string())}), np.ones(60_000, bool)
    )
    column = texts.columns["x"]
    assert native.numbers is not None and column.numbers is not None
    assert native.numbers.quantiles.at(0.5) == column.numbers.quantiles.at(0.5)
    assert native.numbers.sd == pytest.approx(column.numbers.sd)
    assert (native.missing, native.rows) == (column.missing, column.rows)
    assert native.unreadable["boolean"] == BadCell(row=1, value=str(values[1]))
    assert abs(native.distinct / len(np.unique(values[~np.isnan(values)])) - 1) < 0.07


def test_the_most_frequent_of_many_different_numbers_are_kept() -> None:
    values = np.concatenate([np.arange(50_000), np.full(30, 7), np.full(20, 11)])
    column = TableSummary.of(pa.table({"x": values}), np.ones(len(values), bool)).columns["x"]
    assert column.categories.sorted()[:2] == [("7", 31), ("11", 21)]
    assert column.categories.count == len(values) and column.categories.overflowed and column.missing == 0


@pytest.mark.parametrize("dtype", [pa.uint64(), pa.int8(), pa.float32(), pa.float64()])
def test_zeros_and_ones_are_booleans_in_any_type(dtype: pa.DataType) -> None:
    column = summarise([0, 1, None, 1], dtype=dtype)
    assert column.booleans is not None and (column.booleans.trues, column.booleans.falses) == (2, 1)
    assert column.categories.sorted() == [("1", 2), ("0", 1)]


def test_whole_numbers_are_told_from_measurements() -> None:
    for values, whole in (([1.0, 2.0, None], True), ([1.0, 2.5], False)):
        numbers = summarise(values).numbers
        assert numbers is not None and numbers.whole is whole


def test_times_are_counted_by_weekday_month_and_hour() -> None:
    times = summarise(["2024-01-01", "2024-02-06T12:30Z", None]).timestamps
    assert times is not None and times.count == 2
    assert times.weekdays.tolist() == [1, 1, 0, 0, 0, 0, 0]
    assert times.months.tolist() == [1, 1] + [0] * 10
    assert (times.earliest_s, times.latest_s) == (0, 45_000)
    assert times.minimum_us == datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1e6


def test_booleans_are_counted() -> None:
    booleans = summarise([True, None, True, False]).booleans
    assert booleans is not None and (booleans.trues, booleans.falses, booleans.count) == (2, 1, 3)


@pytest.mark.parametrize("dtype", [pa.float16(), pa.decimal32(7, 2), pa.decimal64(15, 2), pa.decimal256(50, 2)])
def test_narrow_and_wide_numbers_are_summarised_as_numbers(dtype: pa.DataType) -> None:
    values = pa.array([1.5, 2.0, None]).cast(dtype)
    column = TableSummary.of(pa.table({"x": values}), np.ones(3, bool)).columns["x"]
    assert column.numbers is not None and (column.numbers.count, column.numbers.maximum) == (2, 2.0)


def test_an_unsupported_type_is_summarised_without_statistics() -> None:
    column = summarise([[1], [2]])
    assert set(column.unreadable) == {"number", "category", "boolean", "timestamp"}
    assert column.statistics("category") is None and column.distinct == 0


def test_dictionary_values_that_no_row_holds_are_no_evidence() -> None:
    encoded = pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(["1", "not a number"]))
    column = TableSummary.of(pa.table({"x": encoded}), np.array([True, True])).columns["x"]
    assert "number" not in column.unreadable and column.distinct == 1


def test_codes_of_texts_are_summarised_as_the_texts() -> None:
    values = ["b", " a", None, "a", "NA", "7.0", "7", "b"]
    train = np.array([False, True, True, True, True, True, False, True])
    texts = TableSummary.of(pa.table({"x": values}), train)
    codes = TableSummary.of(pa.table({"x": pa.array(values).dictionary_encode()}), train)
    assert pickle.dumps(codes) == pickle.dumps(texts)


def test_distinct_counts_are_estimated_beyond_the_exact_ones() -> None:
    assert summarise([f"k{i % 700}" for i in range(5_000)]).distinct == 700
    assert abs(summarise([f"k{i}" for i in range(30_000)]).distinct / 30_000 - 1) < 0.07


def test_a_summary_is_small_picklable_and_the_same_bytes_again() -> None:
    values = np.random.default_rng(1).normal(size=50_000).tolist()
    first, again = (pickle.dumps(summarise(values).merge(summarise(values))) for _ in range(2))
    assert first == again
    assert len(pickle.dumps(summarise(values))) < 150_000


def test_pieces_with_other_columns_are_refused_by_name() -> None:
    ones = np.ones(1, dtype=bool)
    first = TableSummary.of(pa.table({"a": [1], "b": [1]}), ones)
    with pytest.raises(DataError, match="column 'b' is not in all of them"):
        first.merge(TableSummary.of(pa.table({"a": [1]}), ones))


def test_an_empty_piece_changes_nothing() -> None:
    column = summarise(["1", "2"]).merge(summarise([], dtype=pa.string()))
    assert column.numbers is not None and column.numbers.count == 2 and column.numbers.mean == 1.5
