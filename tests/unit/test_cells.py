"""Cells are read by one rule per kind, from text and from native Arrow, or the first bad one is named."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from raymill.cells import KINDS, MISSING, BadCell, canonical_type, is_supported, plain, read
from raymill.spec import FeatureType


def cells(values: list[Any], kind: FeatureType, dtype: pa.DataType | None = None) -> list[Any]:
    result = read(pa.array(values, dtype), kind)
    assert not isinstance(result, BadCell), result
    assert result.type == canonical_type(kind)
    return result.to_pylist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [*MISSING, " ", " NA\t"])
def test_a_missing_text_is_null_for_every_kind(kind: FeatureType, text: str) -> None:
    assert cells([text, None], kind, pa.string()) == [None, None]


def test_numbers_are_read_with_signs_exponents_and_outer_space() -> None:
    assert cells(["1", " -2.5 ", "+3", "1e3", ".5", "007"], "number") == [1, -2.5, 3, 1000, 0.5, 7]


def test_infinities_and_nan_are_missing_numbers() -> None:
    assert cells([float("inf"), float("-inf"), float("nan"), 1.0], "number") == [None, None, None, 1]
    assert cells(["inf", "-Infinity", "nan", "1"], "number") == [None, None, None, 1]


@pytest.mark.parametrize("text", ["1,000", "$5", "5%", "0x1A", "1_000", "-", "2024-01-01"])
def test_what_is_no_plain_number_is_named_with_its_row(text: str) -> None:
    assert read(pa.array(["1", None, text, "x"]), "number") == BadCell(row=2, value=text)


def test_the_first_bad_cell_is_found_deep_in_a_long_column() -> None:
    texts = [str(i) for i in range(5_000)]
    texts[4_321] = texts[4_777] = "bad"
    assert read(pa.array(texts), "number") == BadCell(row=4_321, value="bad")


def test_native_numbers_and_booleans_are_numbers() -> None:
    assert cells([Decimal("1.50"), None], "number") == [1.5, None]
    assert cells([True, False], "number") == [1, 0]
    assert cells([2**60 + 1], "number", pa.int64()) == [float(2**60)]


def test_whole_numbers_are_one_category_however_they_are_stored() -> None:
    for values in ([7, None], [7.0, None], [Decimal("7.00"), None], ["7", ""], ["7.0", "NA"], [" 7 ", "?"]):
        assert cells(values, "category") == ["7", None]
    assert cells([1e15, -0.0, float("nan"), 2.5], "category") == ["1000000000000000", "0", None, "2.5"]


def test_text_categories_keep_their_letters_and_leading_zeros() -> None:
    assert cells([" a b ", "007", "1.50", "v1.0", "Ünïcode"], "category") == [
        "a b",
        "007",
        "1.50",
        "v1.0",
        "Ünïcode",
    ]


def test_boolean_words_are_read_in_any_case() -> None:
    assert cells(["True", "f", "YES", "no", "1", "0", "1.0", None], "boolean") == [
        True,
        False,
        True,
        False,
        True,
        False,
        True,
        None,
    ]
    assert cells([0, 1, None], "boolean") == [False, True, None]
    assert read(pa.array(["true", "maybe"]), "boolean") == BadCell(row=1, value="maybe")
    assert read(pa.array([0, 2]), "boolean") == BadCell(row=1, value="2")


def test_timestamps_become_naive_utc_with_zones_mixed_in_one_column() -> None:
    texts = [
        "2024-03-01",
        "2024-03-01 06:30",
        "2024-03-01T06:30:00.25",
        "2024-03-01T06:30:00Z",
        "2024-03-01 06:30+02:00",
        "2024-03-01T06:30:00-0530",
    ]
    assert cells(texts, "timestamp") == [
        datetime(2024, 3, 1),
        datetime(2024, 3, 1, 6, 30),
        datetime(2024, 3, 1, 6, 30, 0, 250_000),
        datetime(2024, 3, 1, 6, 30),
        datetime(2024, 3, 1, 4, 30),
        datetime(2024, 3, 1, 12, 0),
    ]


@pytest.mark.parametrize("text", ["20240301", "2024", "01/03/2024", "2024-02-30", "2024-13-01T00:00Z"])
def test_what_is_no_iso_time_is_refused(text: str) -> None:
    assert read(pa.array(["2024-03-01T06:30Z", text]), "timestamp") == BadCell(row=1, value=text)


def test_native_times_are_converted_and_numbers_are_no_times() -> None:
    zoned = pa.array([datetime(2024, 7, 1, 12)], pa.timestamp("ns", "Europe/Berlin"))
    assert read(zoned, "timestamp").to_pylist() == [datetime(2024, 7, 1, 12)]
    assert cells([date(2024, 7, 1)], "timestamp") == [datetime(2024, 7, 1)]
    assert read(pa.array([1_700_000_000]), "timestamp") == BadCell(row=0, value="1700000000")
    assert isinstance(read(pa.array([date(2024, 7, 1)]), "number"), BadCell)


def test_dictionaries_and_large_strings_become_plain() -> None:
    column = pa.chunked_array([pa.array(["a", None, "a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()])
    assert plain(column).to_pylist() == ["a", None, "a", "b"]
    assert plain(pa.array(["a"], pa.large_string())).type == pa.string()
    assert not is_supported(pa.list_(pa.int64()))


def test_an_empty_or_null_column_is_read_as_any_kind() -> None:
    for kind in KINDS:
        assert cells([], kind, pa.string()) == []
        assert cells([None, None], kind, pa.null()) == [None, None]
