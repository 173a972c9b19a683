"""Native: what the cells of a category column were in the training table, and texts brought to what it trained on.

| native | training cells | a text, by example |
|---|---|---|
| text | texts | stays itself |
| exact | integers, decimals | `1.50` and `+1.5` are `1.5`, however many digits |
| double, single | float64; float32 and shorter | `1.50` is `1.5`; of a float32 `1.100000023841858` is `1.1` |
| boolean | booleans | `True`, `yes` and `1` are `true` |
| time | dates, timestamps | `2024-03-01T06:30Z` is `2024-03-01 06:30:00` |

So a JSON string, a CSV file and a Parquet file of another type name the category that the training cell was. A text
that is no such value stays itself. The module knows texts and types, no tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from raymill.cells import FALSE, NUMBER, TRUE, read, shortest_times, texts

Native = Literal["text", "exact", "double", "single", "boolean", "time"]

# What decimal256 holds; an exponent is left to floats.
_DIGITS = r"^[+-]?\d{1,38}(\.\d{1,38})?$"
_WIDEST = pa.decimal256(76, 38)
_TIME = (
    r"^(?P<day>\d{4}-\d\d-\d\d)(?:[T ](?P<minute>\d\d:\d\d)(?P<second>:\d\d)?(?P<fraction>\.\d+)?)?"
    r"(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?$"
)


def native_of(dtype: pa.DataType) -> Native:
    """What a plain Arrow type's cells are as categories."""
    if pa.types.is_integer(dtype) or pa.types.is_decimal(dtype):
        return "exact"
    if pa.types.is_floating(dtype):
        return "double" if pa.types.is_float64(dtype) else "single"
    if pa.types.is_boolean(dtype):
        return "boolean"
    return "time" if pa.types.is_date(dtype) or pa.types.is_timestamp(dtype) else "text"


def as_native(words: pa.Array, native: Native) -> pa.Array:
    """Categories (strings, null where missing) of any table as those of a training table with such cells."""
    return words if native == "text" else pc.coalesce(_READERS[native](words), words)


def _only(words: pa.Array, pattern: str) -> pa.Array:
    """The texts that match, others null."""
    return pc.if_else(pc.match_substring_regex(words, pattern=pattern), words, pa.scalar(None, pa.string()))


def _doubles(words: pa.Array) -> pa.Array:
    return texts(_only(words, NUMBER).cast(pa.float64()))


def _singles(words: pa.Array) -> pa.Array:
    return texts(_only(words, NUMBER).cast(pa.float64()).cast(pa.float32(), safe=False))


def _exacts(words: pa.Array) -> pa.Array:
    return pc.coalesce(texts(_only(words, _DIGITS).cast(_WIDEST)), _doubles(words))


def _booleans(words: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(words)
    known = pc.is_in(lower, value_set=pa.array((*TRUE, *FALSE)))
    return texts(read(pc.if_else(known, lower, pa.scalar(None, pa.string())), "boolean"))


def _times(words: pa.Array) -> pa.Array:
    """Not by a cast, which fails for a whole column with one text that is no time, and takes no nanoseconds."""
    parts = pc.extract_regex(words, pattern=_TIME)
    day, minute, second, fraction, zone = (pc.struct_field(parts, index) for index in range(parts.type.num_fields))
    clock = pc.binary_join_element_wise(_filled(minute, "00:00"), _filled(second, ":00"), "")
    local = pc.binary_join_element_wise(day, clock, " ")
    seconds = pc.strptime(local, format="%Y-%m-%d %H:%M:%S", unit="s", error_is_null=True)
    # A 30th of February would be read as the 1st of March.
    exists = pc.equal(seconds.cast(pa.string()), local)
    utc = pc.subtract(pc.if_else(exists, seconds, pa.scalar(None, seconds.type)), _ahead(zone))
    return shortest_times(pc.binary_join_element_wise(utc.cast(pa.string()), fraction, ""))


def _filled(texts: pa.Array, default: str) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), default, texts)


def _ahead(zones: pa.Array) -> pa.Array:
    """How far local time is ahead of UTC: of `+05:30`, `-0530`, `+05`, `Z` or nothing."""
    digits = pc.utf8_rpad(pc.replace_substring_regex(zones, pattern=r"\D", replacement=""), 4, "0")
    hours, minutes = (pc.utf8_slice_codeunits(digits, at, at + 2).cast(pa.int64()) for at in (0, 2))
    seconds = pc.add(pc.multiply(hours, 3_600), pc.multiply(minutes, 60))
    return pc.if_else(pc.starts_with(zones, "-"), pc.negate(seconds), seconds).cast(pa.duration("s"))


Reader = Callable[[pa.Array], pa.Array]
_READERS: dict[str, Reader] = {
    "exact": _exacts,
    "double": _doubles,
    "single": _singles,
    "boolean": _booleans,
    "time": _times,
}
