"""Cells are read by one rule per kind, from text and from native Arrow, or the first bad one is named."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raymill.cells import KINDS, MISSING, BadCell, coded, codes_of, has_text, is_coded, is_supported, plain, read
from raymill.spec import FeatureType
from tests.datasets import CANONICAL


def cells(values: list[Any], kind: FeatureType, dtype: pa.DataType | None = None) -> list[Any]:
    result = read(pa.array(values, dtype), kind)
    assert not isinstance(result, BadCell), result
    assert result.type == CANONICAL[kind]
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


def test_texts_of_which_the_first_repeat_become_codes_and_nothing_else_does() -> None:
    texts = pa.array(["b", None, "a", "b"] * 600)
    codes = coded(pa.chunked_array([texts]))
    assert is_coded(codes.type) and codes.to_pylist() == texts.to_pylist()
    assert codes.dictionary.to_pylist() == ["b", "a"]
    assert codes_of(codes)[:4].tolist() == [0, 2, 1, 0]
    assert coded(codes).equals(codes)
    for other in (pa.array([f"id-{i}" for i in range(2_000)]), pa.array([1, 1, 1])):
        assert coded(other).equals(other)


def test_long_decimals_are_categories_by_their_digits() -> None:
    ids = [Decimal(10**30 + i) for i in range(3)]
    assert cells(ids, "category", pa.decimal128(38, 0)) == [str(10**30 + i) for i in range(3)]
    fine = [Decimal("7"), Decimal("-2.50"), Decimal("0"), Decimal("0.12345678901234567")]
    assert cells(fine, "category", pa.decimal128(38, 20)) == ["7", "-2.5", "0", "0.12345678901234567"]
    assert cells([2**63, 2**63 + 1], "category", pa.uint64()) == [str(2**63), str(2**63 + 1)]


@pytest.mark.parametrize(
    ("number", "precision", "scale", "text"),
    [
        ("66741.419", 9, 3, "66741.419"),
        ("89474351.1115", 12, 4, "89474351.1115"),
        ("8132702.39", 9, 2, "8132702.39"),
        ("4503599627370497.25", 18, 2, "4503599627370497.25"),
        ("1.00000000000000000001", 21, 20, "1.00000000000000000001"),
        ("10000000000000000", 18, 1, "10000000000000000"),
        ("1200", 6, 2, "1200"),
        ("7", 5, 2, "7"),
        ("0", 5, 2, "0"),
        ("-0", 12, 8, "0"),
        ("-0.12", 30, 25, "-0.12"),
        ("1E-7", 9, 7, "1e-7"),
        ("1E-7", 20, 12, "1e-7"),
        ("-1.5E-7", 20, 12, "-1.5e-7"),
        ("0.000012", 20, 12, "0.000012"),
        ("1E-10", 60, 30, "1e-10"),
    ],
)
def test_a_decimal_is_the_category_of_its_digits_without_zeros_at_the_end(
    number: str, precision: int, scale: int, text: str
) -> None:
    kind = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    assert cells([None, Decimal(number)], "category", kind) == [None, text]
    if len(number) <= 15:
        assert cells([float(number)], "category") == [text]


@pytest.mark.parametrize(("precision", "scale"), [(9, 2), (12, 4)])
def test_decimals_are_the_categories_and_numbers_that_the_same_cells_of_a_csv_file_are(
    precision: int, scale: int
) -> None:
    units = np.random.default_rng(7).integers(-(10**precision) + 1, 10**precision, 1_000)
    decimals = [Decimal(int(unit)).scaleb(-scale) for unit in units]
    written = [f"{decimal:f}".rstrip("0").rstrip(".") for decimal in decimals]
    native = pa.decimal128(precision, scale)
    assert cells(decimals, "category", native) == cells(written, "category") == written
    assert cells(decimals, "number", native) == cells(written, "number") == [float(text) for text in written]


def test_half_floats_and_small_decimals_are_plain_as_wider_ones() -> None:
    assert plain(pa.array([1.5, None], pa.float16())).type == pa.float32()
    for small in (pa.decimal32(7, 2), pa.decimal64(7, 2)):
        assert plain(pa.array([Decimal("1.50")], pa.decimal128(7, 2)).cast(small)).type == pa.decimal128(7, 2)


def test_times_after_the_year_9999_are_read_and_told_and_those_beyond_microseconds_refused() -> None:
    far = pa.array([253_402_300_800], pa.timestamp("s"))
    assert read(far, "timestamp").cast(pa.int64()).to_pylist() == [253_402_300_800_000_000]
    assert read(far, "number") == BadCell(row=0, value="10000-01-01 00:00:00")
    assert read(pa.array([2_932_897], pa.date32()), "number") == BadCell(row=0, value="10000-01-01")
    beyond = read(pa.array([0, 2**50], pa.timestamp("s", "UTC")), "timestamp")
    assert beyond == BadCell(row=1, value="<value out of range: 1125899906842624>")


def test_a_date_is_the_category_that_its_midnight_is() -> None:
    day = pa.array([date(2024, 7, 1), None])
    assert cells(day, "category") == cells(day.cast(pa.timestamp("us")), "category")


@pytest.mark.parametrize(
    "dtype", [pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.map_(pa.string(), pa.int8())]
)
def test_nested_cells_have_no_text(dtype: pa.DataType) -> None:
    assert not has_text(dtype)


@pytest.mark.parametrize("dtype", [pa.binary(), pa.time64("us"), pa.duration("s"), pa.decimal256(60, 2), pa.bool_()])
def test_flat_cells_have_a_text(dtype: pa.DataType) -> None:
    assert has_text(dtype)


def test_an_empty_or_null_column_is_read_as_any_kind() -> None:
    for kind in KINDS:
        assert cells([], kind, pa.string()) == []
        assert cells([None, None], kind, pa.null()) == [None, None]
