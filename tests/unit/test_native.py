"""A category is the same category from the training table, a Parquet file of another type, a CSV file and JSON."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from raymill.native import Native, as_native
from raymill.schema import Schema, infer_schema
from raymill.source import Source
from raymill.statistics import TableSummary
from raymill.transform import Transform

FLOATS = [1.1, 2.0, 1e-7, 12345.678]
TIMES = [datetime(2020, 1, 1), datetime(2020, 1, 1, 5), datetime(2021, 7, 3, 6, 30, 59)]
FINE_TIMES = [*TIMES, datetime(2021, 7, 3, 6, 30, 0, 250_000)]
PRICES = [Decimal("1.50"), Decimal("7.00"), Decimal("12345678901234567.25")]
S, MS, US, NS = (pa.timestamp(unit) for unit in ("s", "ms", "us", "ns"))
BERLIN = pa.timestamp("ms", "Europe/Berlin")


def _trained(cells: pa.Array) -> tuple[Schema, Transform]:
    table = pa.table({"x": cells, "y": list(range(len(cells)))})
    summary = TableSummary.of(table, np.ones(len(cells), dtype=bool))
    schema = infer_schema(summary, {"x": "category"}, (), "y")
    schema = Schema.from_json(json.loads(json.dumps(schema.to_json())))
    return schema, Transform.fit(schema, summary)


def _codes(transform: Transform, conformed: pa.Table) -> list[int]:
    """The index of each cell's feature; -1 of a category that training never saw."""
    hot = transform.apply(conformed).numbers
    return [int(row.argmax()) if row.any() else -1 for row in hot]


def _read(path: Path) -> pa.Table:
    (piece,) = Source.open(str(path)).pieces
    return piece.read()


@pytest.mark.parametrize(
    ("cells", "others", "sent"),
    [
        (pa.array(FLOATS, pa.float32()), [pa.float64()], [FLOATS, [1.100000023841858, 2, "1e-07", "12345.6780"]]),
        (pa.array(FLOATS), [], [FLOATS, ["1.10", "2", "1E-7", "+12345.678"]]),
        (pa.array([date(2020, 1, 1), date(2021, 7, 3)]), [US, pa.date64()], [["2020-01-01", "2021-07-03T00:00Z"]]),
        (pa.array(TIMES, S), [MS, US, NS, BERLIN], [["2020-01-01", "2020-01-01T05:00", "2021-07-03 08:30:59+02:00"]]),
        (pa.array(FINE_TIMES, MS), [US, NS, BERLIN], [[time.isoformat() for time in FINE_TIMES]]),
        (pa.array(FINE_TIMES, US), [MS, NS, BERLIN], [[str(time) for time in FINE_TIMES]]),
        (pa.array(FINE_TIMES, NS), [MS, US, BERLIN], [[f"{time.isoformat()}Z" for time in FINE_TIMES]]),
        (pa.array(FINE_TIMES, BERLIN), [MS, US, NS], [[f"{time.isoformat()}+00:00" for time in FINE_TIMES]]),
        (pa.array(PRICES), [pa.decimal128(30, 9)], [["1.5", 7, "12345678901234567.25"], [str(p) for p in PRICES]]),
        (pa.array([True, False]), [pa.int8()], [[True, False], ["True", "no"], [1, 0]]),
        (pa.array([7, 2**60 + 1]), [pa.decimal128(30, 3)], [[7, 2**60 + 1], ["7.0", str(2**60 + 1)]]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_a_column_declared_as_a_category_has_the_same_codes_however_its_cells_come(
    cells: pa.Array, others: list[pa.DataType], sent: list[list[Any]], tmp_path: Path
) -> None:
    schema, transform = _trained(cells)
    codes = _codes(transform, schema.conform(pa.table({"x": cells})))
    assert sorted(codes) == list(range(len(cells)))
    for values in sent:
        rows = json.loads(json.dumps([{"x": value} for value in values]))
        assert _codes(transform, schema.table_from_rows(rows)) == codes, values
    for index, other in enumerate(others):
        pq.write_table(pa.table({"x": cells.cast(other)}), tmp_path / f"{index}.parquet")
        assert _codes(transform, schema.conform(_read(tmp_path / f"{index}.parquet"))) == codes, other
    pacsv.write_csv(pa.table({"x": cells}), tmp_path / "x.csv")
    pa.table({"x": cells}).to_pandas().to_csv(tmp_path / "pandas.csv", index=False)
    for name in ("x.csv", "pandas.csv"):
        assert _codes(transform, schema.conform(_read(tmp_path / name))) == codes, name


def test_a_column_of_texts_stays_texts() -> None:
    schema, transform = _trained(pa.array(["2020-01-01", "2020-01-01T00:00", "1.50", "1.5", "True", "true"]))
    assert schema.natives == {"x": "text"}
    rows = [{"x": text} for text in ("2020-01-01", "2020-01-01T00:00", "1.50", "1.5", "True", "true", "1.500")]
    assert sorted(_codes(transform, schema.table_from_rows(rows))) == [-1, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("native", "text", "meant"),
    [
        ("time", "2024-02-30", "2024-02-30"),
        ("time", "2024-03-01 24:00", "2024-03-01 24:00"),
        ("time", "soon", "soon"),
        ("time", "2024-03-01T06:30:00.123456789-0530", "2024-03-01 12:00:00.123456789"),
        ("time", "2024-03-01T06:30+05", "2024-03-01 01:30:00"),
        ("double", "1.2.3", "1.2.3"),
        ("double", "1e999", "1e999"),
        ("single", "1e39", "1e39"),
        ("exact", "1" + "0" * 40 + ".50", "1e+40"),
        ("exact", "007", "7"),
        ("boolean", "maybe", "maybe"),
    ],
)
def test_a_text_is_brought_to_the_training_type_or_stays_itself(native: Native, text: str, meant: str) -> None:
    assert as_native(pa.array([None, text]), native).to_pylist() == [None, meant]


def test_booleans_may_be_sent_as_such_only_where_they_were_trained_on() -> None:
    schema, _ = _trained(pa.array([True, False]))
    assert schema.json_schema()["properties"]["x"] == {"type": ["boolean", "string", "number", "null"]}
