"""Live rows are counted as train rows were: the train rows themselves give the reference."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raymill.drift_bins import DriftBins
from raymill.drift_reference import DriftReference
from raymill.schema import Schema, infer_schema
from raymill.statistics import TableSummary
from raymill.transform import Transform
from tests.mixed_bundles import raw_rows


def _fitted(table: pa.Table) -> tuple[Schema, DriftBins]:
    summary = TableSummary.of(table, np.ones(table.num_rows, bool))
    schema = infer_schema(summary, {}, (), table.column_names[-1])
    transform = Transform.fit(schema, summary)
    return schema, DriftBins(DriftReference.of(transform, summary), transform)


def test_the_train_rows_are_distributed_as_the_reference_says() -> None:
    table = raw_rows()
    schema, bins = _fitted(table)
    assert bins.names == tuple(schema.kinds)
    assert (bins.count(schema.conform(table)) == bins.train).all()
    assert (bins.train.sum(axis=1) == table.num_rows).all()


ROWS = pa.table(
    {
        "n": [1.0, 2.0, 3.0, 4.0] * 5,
        "c": ["a", "a", "a", "b"] * 5,
        "b": [True, False] * 10,
        "t": [datetime(2026, 1, 1), datetime(2026, 5, 1)] * 10,
        "y": [0, 1] * 10,
    }
)


@pytest.mark.parametrize(
    ("cells", "bins"),
    [
        ({"n": 0.99, "c": "a", "b": False, "t": "2030-01-01"}, (0, 0, 0, 0)),
        ({"n": 1.0, "c": "b", "b": True, "t": "1930-01-01"}, (1, 1, 1, 0)),
        ({"n": 1.5, "c": "B"}, (2, 3, 2, 1)),
        ({"n": 4, "c": "NA"}, (4, 4, 2, 1)),
        ({"n": 1e300}, (5, 4, 2, 1)),
        ({}, (6, 4, 2, 1)),
    ],
)
def test_a_cell_falls_into_the_bin_of_its_kind(cells: dict[str, Any], bins: tuple[int, ...]) -> None:
    schema, counter = _fitted(ROWS)
    counts = counter.count(schema.table_from_rows([cells, cells]))
    assert tuple(counts.argmax(axis=1)) == bins
    assert (counts.max(axis=1) == 2).all() and (counts.sum(axis=1) == 2).all()


def test_a_table_without_numbers_is_counted_too() -> None:
    table = ROWS.select(["c", "y"])
    schema, counter = _fitted(table)
    assert counter.count(schema.conform(table)).tolist() == [[15, 5, 0, 0, 0]]


def test_what_thousands_of_rows_lie_in_is_counted_as_that_of_a_few_at_a_time() -> None:
    rng = np.random.default_rng(0)
    table = pa.table(
        {"n": rng.normal(size=5_000), "c": rng.zipf(1.3, 5_000).astype(str), "y": rng.integers(0, 2, 5_000)}
    )
    schema, counter = _fitted(table)
    conformed = schema.conform(table)
    parts = sum(counter.count(conformed.slice(start, 100)) for start in range(0, 5_000, 100))
    assert (parts == counter.count(conformed)).all()
