"""The profile: what the columns of a source look like, for people to read; nothing is computed from it."""

from __future__ import annotations

from typing import Any

from raymill.kind_statistics import iso_time
from raymill.schema import Schema
from raymill.sketch import Categories
from raymill.spec import FeatureType
from raymill.statistics import (
    BooleanStatistics,
    ColumnSummary,
    NumberStatistics,
    TableSummary,
    TimestampStatistics,
)

_TOP_CATEGORIES = 20
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_GUESSES: tuple[FeatureType, ...] = ("timestamp", "number", "boolean")


def profile(summary: TableSummary, schema: Schema) -> dict[str, Any]:
    """Every column of the table by name, features by their kind in the schema; all figures are of train rows."""
    left_out = dict(schema.left_out)
    return {
        "rows": summary.rows,
        "train_rows": summary.train_rows,
        "columns": {
            name: _column(column, schema.kinds.get(name) or _guess(column))
            | {"feature": name in schema.kinds}
            | ({"left_out": left_out[name]} if name in left_out else {})
            for name, column in summary.columns.items()
        },
    }


def _guess(column: ColumnSummary) -> FeatureType:
    return next((kind for kind in _GUESSES if kind not in column.unreadable), "category")


def _column(column: ColumnSummary, kind: FeatureType) -> dict[str, Any]:
    statistics = column.statistics(kind)
    count = 0 if statistics is None else statistics.count
    known: dict[str, Any] = {"kind": kind, "missing_share": 1 - count / max(column.train_rows, 1)}
    if statistics is None or not count:
        return known
    figures: dict[str, Any] = _FIGURES[type(statistics)](statistics)
    return known | figures | {"distinct": column.distinct}


def _number(statistics: NumberStatistics) -> dict[str, Any]:
    return {
        "min": statistics.minimum,
        "quantiles": {f"{share:g}": statistics.quantiles.at(share) for share in _QUANTILES},
        "max": statistics.maximum,
        "mean": statistics.mean,
        "sd": statistics.sd,
    }


def _category(statistics: Categories) -> dict[str, Any]:
    return {"top": dict(statistics.sorted()[:_TOP_CATEGORIES])}


def _boolean(statistics: BooleanStatistics) -> dict[str, Any]:
    return {"top": {"true": statistics.trues, "false": statistics.falses}}


def _timestamp(statistics: TimestampStatistics) -> dict[str, Any]:
    return {"min": iso_time(statistics.minimum_us), "max": iso_time(statistics.maximum_us)}


_FIGURES: dict[type, Any] = {
    NumberStatistics: _number,
    Categories: _category,
    BooleanStatistics: _boolean,
    TimestampStatistics: _timestamp,
}
