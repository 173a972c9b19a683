"""Cells: how a raw cell of a CSV or Parquet column is read as a value of a column kind, or refused.

| kind | canonical type | text that it reads | other Arrow types that it reads |
|---|---|---|---|
| number | float64 | `7`, `-.5`, `1e-3`; no `1,000`, no currency | bool as 0 and 1, integer, float, decimal |
| category | string | all, trimmed; `7.0` is `7` | each value by one text, whatever the type holds it |
| boolean | bool | true/false, yes/no, t/f, 1/0 in any case | bool, the numbers 0 and 1 |
| timestamp | timestamp[us], naive UTC | ISO 8601 to the microsecond, zone optional | date, timestamp |

The text of a category is the shortest that tells the value: `7` of 7.0 and 7.00, `1.5` of 1.50, `true`, `2024-03-01`
of a date and its midnight, else `2024-03-01 06:30:00.25` in UTC. A float's is the shortest that its own width reads
back, a decimal's has all its digits, however many. As a number a decimal is the float64 nearest to it, which Arrow's
own cast often misses.

Missing are null, NaN, the texts in `MISSING` once trimmed, and, for a number, an infinity. The module knows nothing
of tables, splits or statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymill.spec import FeatureType

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None", "?")
KINDS: tuple[FeatureType, ...] = ("number", "category", "boolean", "timestamp")
TRUE = ("true", "t", "yes", "1")
FALSE = ("false", "f", "no", "0")
# A text that is a number, with outer white space.
NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_ZONE = r"[T ]\d\d.*(Z|[+-]\d\d(:?\d\d)?)$"
_WHOLE_TEXT = r"^(0|-?[1-9][0-9]*)\.0$"
_EXACT_INTEGERS = float(2**53)
# From here on Arrow writes floats with an exponent; what such a fraction may have of decimal places.
_EXPONENTS_FROM = 1e10
_LARGE_FRACTION = pa.decimal128(38, 7)
# Of a time as Arrow writes it.
_TRAILING_TIME = r" 00:00:00(\.0+)?$|\.0+$|(\.\d*[1-9])0+$"
# Of a decimal as Arrow writes it: 7.00, 1.2500, 1.000E-7, 1.50E-7; and a 0 of more than six places, 0E-7.
_TRAILING_ZEROS = r"\.0+(E|$)|(\.[0-9]*[1-9])0+(E|$)"
_ZERO = r"^0E.*$"
_MOST_PLAIN_PLACES = 6
# A failing Arrow cast of many cells builds one error message per cell, so a few cells are tried first.
_PROBE = 256
# Cells by whose number of different ones it is chosen whether each different text is looked at once, or all are.
_PROBED_CELLS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BadCell:
    """The first cell that a kind can't hold: its row, counted from 0, and what it says."""

    row: int
    value: str


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column as one array, dictionaries decoded, every text type as string, small decimals and floats wider."""
    array = _joined(column)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    # Arrow has fewer functions for these.
    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    if pa.types.is_decimal32(array.type) or pa.types.is_decimal64(array.type):
        array = array.cast(pa.decimal128(array.type.precision, array.type.scale))
    return array


def whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column as one array: codes of texts as they are, any other as `plain` gives it."""
    return _joined(column) if is_coded(column.type) else plain(column)


def coded(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Texts of which the first repeat as codes of the different ones; any other column as `whole` gives it.

    So that each different text is hashed, counted, read and encoded once.
    """
    array = whole(column)
    some = array.slice(0, _PROBED_CELLS)
    repeats = pa.types.is_string(array.type) and 2 * len(some.unique()) <= len(some)
    return array.dictionary_encode() if repeats else array


def first_seen(codes: pa.Array) -> pa.Array:
    """Codes of texts from a dictionary of somebody else's making, by one of what they hold in the order they hold it.

    That is what `coded` makes of the texts, without a look at each.
    """
    places = codes.indices.cast(pa.int32()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(places.indices, codes.dictionary.take(places.dictionary))


def is_coded(dtype: pa.DataType) -> bool:
    """Whether cells of an Arrow type are codes of texts."""
    return bool(pa.types.is_dictionary(dtype) and pa.types.is_string(dtype.value_type))


def codes_of(array: pa.Array) -> np.ndarray:
    """The places of a coded array's cells in its dictionary `(rows,) int32`; the next after it where one is missing."""
    codes: np.ndarray = array.indices.fill_null(len(array.dictionary)).to_numpy()
    return codes


def _joined(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """All chunks as one array; `combine_chunks` would copy a single one too."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def is_supported(dtype: pa.DataType) -> bool:
    """Whether cells of a plain Arrow type can be read as any kind at all."""
    return _is_text(dtype) or _is_number(dtype) or _is_time(dtype)


def is_plain_number(dtype: pa.DataType) -> bool:
    """Whether cells of an Arrow type are integers or floats."""
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


def has_text(dtype: pa.DataType) -> bool:
    """Whether cells of an Arrow type have a text at all, as those of lists and structs don't."""
    try:
        pa.array([], dtype).cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True


def read(values: pa.Array, kind: FeatureType) -> pa.Array | BadCell:
    """All cells of a plain array of a supported type in the kind's canonical type, or the first that isn't one."""
    reader = _READERS[kind]
    if len(values) > _PROBE and not _reads(reader, values.slice(0, _PROBE)):
        return _first_unreadable(reader, values)
    try:
        return reader(values)
    except pa.ArrowInvalid:
        return _first_unreadable(reader, values)


def texts(values: pa.Array) -> pa.Array:
    """All cells as categories, which every cell of a supported type can be."""
    return _READERS["category"](values)


def _is_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_null(dtype))


def _is_number(dtype: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(dtype)
        or pa.types.is_floating(dtype)
        or pa.types.is_decimal(dtype)
        or pa.types.is_boolean(dtype)
    )


def _is_time(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_date(dtype) or pa.types.is_timestamp(dtype))


def _bare(values: pa.Array) -> pa.Array:
    """Texts without outer white space, null where they mean missing."""
    trimmed = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return pc.if_else(pc.is_in(trimmed, value_set=_missing()), pa.scalar(None, pa.string()), trimmed)


@cache
def _missing() -> pa.Array:
    return pa.array(MISSING)


def _numbers(values: pa.Array) -> pa.Array:
    if _is_time(values.type):
        return _none_of(values, pa.float64())
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.string())
    numbers = _text_numbers(values) if _is_text(values.type) else values.cast(pa.float64(), safe=False)
    finite = pc.is_finite(numbers)
    if pc.all(finite).as_py() is False:
        return pc.if_else(finite, numbers, pa.scalar(None, pa.float64()))
    return numbers


def _none_of(values: pa.Array, dtype: pa.DataType) -> pa.Array:
    """Missing cells only: a number is no time, nor a time a number."""
    if values.null_count < len(values):
        raise pa.ArrowInvalid(f"{values.type} is no {dtype}")
    return pa.nulls(len(values), dtype)


def _text_numbers(values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.float64())
    except pa.ArrowInvalid:
        return _bare(values).cast(pa.float64())


def _texts(values: pa.Array) -> pa.Array:
    if _is_text(values.type):
        texts = _bare(values)
        if pc.any(pc.ends_with(texts, pattern=".0")).as_py():
            return pc.replace_substring_regex(texts, pattern=_WHOLE_TEXT, replacement=r"\1")
        return texts
    if pa.types.is_floating(values.type):
        return _float_texts(values)
    if pa.types.is_decimal(values.type):
        return _decimal_texts(values)
    if pa.types.is_timestamp(values.type):
        return shortest_times(values.cast(pa.timestamp(values.type.unit)).cast(pa.string()))
    return values.cast(pa.string())


def shortest_times(texts: pa.Array) -> pa.Array:
    """Times as Arrow writes them, `2024-03-01 06:30:00.250`, without zeros at the end and without midnights."""
    return pc.replace_substring_regex(texts, pattern=_TRAILING_TIME, replacement=r"\2")


def _float_texts(values: pa.Array) -> pa.Array:
    """Whole numbers as integers are written, so that a column of integers with gaps agrees with one without."""
    numbers = _numbers(values)
    small = pc.less(pc.abs(numbers), _EXACT_INTEGERS)
    whole = pc.and_(pc.equal(pc.floor(numbers), numbers), small)
    integers = pc.if_else(whole, numbers, pa.scalar(None, pa.float64())).cast(pa.int64())
    shortest = pc.if_else(numbers.is_valid(), values.cast(pa.string()), pa.scalar(None, pa.string()))
    large = pc.and_(pc.and_not(small, whole), pc.greater_equal(pc.abs(numbers), _EXPONENTS_FROM))
    if pc.any(large).as_py():
        fractions = pc.if_else(large, shortest, pa.scalar(None, pa.string())).cast(_LARGE_FRACTION)
        shortest = pc.coalesce(_decimal_texts(fractions), shortest)
    return pc.coalesce(integers.cast(pa.string()), shortest)


def _decimal_texts(values: pa.Array) -> pa.Array:
    """All digits, without zeros at the end, and with an exponent where a float's shortest form has one: `1.5e-7`."""
    texts = pc.replace_substring_regex(values.cast(pa.string()), pattern=_TRAILING_ZEROS, replacement=r"\2\1\3")
    if values.type.scale <= _MOST_PLAIN_PLACES:
        return texts
    zeros = pc.replace_substring_regex(texts, pattern=_ZERO, replacement="0")
    return pc.replace_substring(zeros, pattern="E", replacement="e")


def _booleans(values: pa.Array) -> pa.Array:
    if pa.types.is_boolean(values.type):
        return values
    if is_plain_number(values.type):
        numbers = _numbers(values)
        if pc.all(pc.is_in(numbers, value_set=pa.array([0.0, 1.0, None]))).as_py() is False:
            raise pa.ArrowInvalid("neither 0 nor 1")
        return pc.equal(numbers, 1.0)
    words = pc.utf8_lower(_texts(values))
    true = pc.is_in(words, value_set=pa.array(TRUE))
    known = pc.or_(true, pc.is_in(words, value_set=pa.array((*FALSE, None))))
    if pc.all(known).as_py() is False:
        raise pa.ArrowInvalid("neither true nor false")
    return pc.if_else(words.is_valid(), true, pa.scalar(None, pa.bool_()))


def _timestamps(values: pa.Array) -> pa.Array:
    if _is_number(values.type):
        return _none_of(_numbers(values), pa.timestamp("us"))
    if _is_time(values.type):
        # Nanoseconds are cut off; seconds too far away for microseconds are refused.
        cut_off = pa.types.is_timestamp(values.type) and values.type.unit == "ns"
        return values.cast(pa.timestamp("us"), safe=not cut_off)
    texts = _bare(values)
    try:
        return texts.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        return _zoned_timestamps(texts)


def _zoned_timestamps(texts: pa.Array) -> pa.Array:
    zoned = pc.match_substring_regex(texts, pattern=_ZONE)
    none = pa.scalar(None, pa.string())
    utc = pc.if_else(zoned, texts, none).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    return pc.coalesce(utc, pc.if_else(zoned, none, texts).cast(pa.timestamp("us")))


Reader = Callable[[pa.Array], pa.Array]
_READERS: dict[FeatureType, Reader] = {
    "number": _numbers,
    "category": _texts,
    "boolean": _booleans,
    "timestamp": _timestamps,
}


def _reads(reader: Reader, values: pa.Array) -> bool:
    try:
        reader(values)
    except pa.ArrowInvalid:
        return False
    return True


def _first_unreadable(reader: Reader, values: pa.Array) -> BadCell:
    """The first cell that can't be read, by a doubling and then a halving search; some cell can't."""
    low, high = 0, 1
    while _reads(reader, values.slice(low, high - low)):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if _reads(reader, values.slice(low, middle - low)):
            low = middle
        else:
            high = middle
    return BadCell(row=low, value=_told(values.slice(low, 1)))


def _told(cell: pa.Array) -> str:
    """One cell as people read it; Python has no times after the year 9999."""
    if not _is_time(cell.type):
        return str(cell[0].as_py())
    if pa.types.is_timestamp(cell.type):
        cell = cell.cast(pa.timestamp(cell.type.unit))
    return str(cell.cast(pa.string())[0].as_py())
