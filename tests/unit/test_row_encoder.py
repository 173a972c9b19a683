"""JSON rows become, without a table, the very bytes that a table gives them; or else are left to it."""

from __future__ import annotations

import string
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raymill.encodings import Features
from raymill.row_encoder import MOST_ROWS, RowEncoder
from raymill.schema import RowsError, Schema, infer_schema
from raymill.statistics import TableSummary
from raymill.transform import Transform

ROWS = 400


def _fitted() -> tuple[Schema, Transform]:
    """A column of each kind and of each native, with gaps."""
    rng = np.random.default_rng(3)
    gap = rng.random(ROWS) < 0.1
    table = pa.table(
        {
            "size": pa.array(rng.normal(50, 9, ROWS), mask=gap),
            "count": rng.integers(0, 99, ROWS),
            "colour": pa.array(rng.choice(["red", "green", "7", "1.5"], ROWS), mask=np.roll(gap, 1)),
            "town": [f"town {i}" for i in rng.integers(0, 40, ROWS)],
            "code": rng.integers(-3, 60, ROWS),
            "grade": rng.choice([1.0, 2.5, 1e22], ROWS),
            "short": pa.array(rng.choice([1.1, 7.0], ROWS), pa.float32()),
            "flag": pa.array(rng.random(ROWS) < 0.5),
            "sold": pa.array(rng.random(ROWS) < 0.5, mask=np.roll(gap, 2)),
            "day": pa.array([date(2026, 1, int(d)) for d in rng.integers(1, 9, ROWS)]),
            "at": [datetime(2025, 1, 1) + timedelta(seconds=int(s)) for s in rng.integers(0, 60_000_000, ROWS)],
        }
    )
    kinds = {name: "category" for name in ("code", "grade", "short", "flag", "day")}
    summary = TableSummary.of(table.append_column("y", pa.array(range(ROWS))), np.ones(ROWS, bool))
    schema = infer_schema(summary, kinds, (), "y")  # type: ignore[arg-type]
    assert set(schema.natives.values()) == {"text", "exact", "double", "single", "boolean", "time"}
    return schema, Transform.fit(schema, summary)


SCHEMA, TRANSFORM = _fitted()
ENCODER = RowEncoder(SCHEMA, TRANSFORM.columns)
PLAIN: dict[str, Any] = {
    "size": 48.5,
    "count": 7,
    "colour": "red",
    "town": "town 3",
    "code": 12,
    "grade": "2.5",
    "short": "1.1",
    "flag": "true",
    "sold": False,
    "day": "2026-01-03",
    "at": "2025-03-01T10:20:30Z",
}
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([7.0, -0.0, 1e300, 10**400, 2**63]))
TEXTS = st.one_of(
    st.sampled_from(
        ["red", " red", "7", "7.0", "1.50", "NA", "", "town 1", "true", "True", "yes", "12", "+12", "1e22"]
    ),
    st.sampled_from(["2026-01-03", "2026-01-03T00:00:00Z", "2026-02-30", "0000-01-01", "2026-01-01 24:00"]),
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(datetime.isoformat),
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda t: f"{t:%Y-%m-%d %H:%M}Z".rjust(17, "0")),
    st.text(string.printable, max_size=12),
)
CELLS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
LIKELY = {
    "number": st.one_of(st.none(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)),
    "category": st.one_of(st.none(), TEXTS, st.integers(-99, 99)),
    "boolean": st.one_of(st.none(), st.booleans()),
    "timestamp": st.one_of(st.none(), TEXTS),
}
ROW = st.fixed_dictionaries({}, optional={name: LIKELY[kind] for name, kind in SCHEMA.kinds.items()})
WILD = st.dictionaries(st.sampled_from([*SCHEMA.kinds, "other"]), CELLS)


def _by_table(rows: list[dict[str, Any]]) -> Features | None:
    try:
        return TRANSFORM.apply(SCHEMA.table_from_rows(rows))
    except RowsError:
        return None


def _assert_same_or_left(rows: list[dict[str, Any]]) -> None:
    found, wanted = ENCODER.encode(rows), _by_table(rows)
    if found is not None:
        assert wanted is not None, "what a table refuses is refused"
        assert found.numbers.tobytes() == wanted.numbers.tobytes() and found.numbers.dtype == wanted.numbers.dtype
        assert found.categories.tobytes() == wanted.categories.tobytes()


@settings(max_examples=600, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=4))
def test_likely_rows_get_the_bytes_that_a_table_gives_them(rows: list[dict[str, Any]]) -> None:
    _assert_same_or_left(rows)


@settings(max_examples=600, deadline=None)
@given(st.lists(WILD, min_size=1, max_size=3))
@example([{"size": True}])
@example([{"size": float("inf")}])
@example([{"code": True}])
def test_whatever_a_table_refuses_is_never_taken(rows: list[dict[str, Any]]) -> None:
    _assert_same_or_left(rows)


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_plain_needs_no_table(name: str) -> None:
    for row in (PLAIN, {name: PLAIN[name]}, PLAIN | {name: None}):
        assert ENCODER.encode([row]) is not None
        _assert_same_or_left([row, PLAIN])


def test_what_is_no_row_and_too_many_rows_are_left_to_a_table() -> None:
    assert ENCODER.encode([]) is None
    assert ENCODER.encode([[1]]) is None  # type: ignore[list-item]
    assert ENCODER.encode([PLAIN] * MOST_ROWS) is not None
    assert ENCODER.encode([PLAIN] * (MOST_ROWS + 1)) is None
