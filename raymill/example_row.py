"""An example row: cells that the train rows had often, for people to see what a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raymill.columns import BooleanColumn, CategoryColumn, ColumnTransform, NumberColumn

_TIME = "2026-01-31T12:00:00"
_DIGITS = 4


def example_row(columns: Sequence[ColumnTransform]) -> dict[str, Any]:
    """A JSON row of medians and of most frequent values."""
    return {column.name: _cell(column) for column in columns}


def _cell(column: ColumnTransform) -> Any:
    if isinstance(column, NumberColumn):
        return float(f"{column.median:.{_DIGITS}g}")
    if isinstance(column, CategoryColumn):
        return column.values[0] if column.values else None
    return True if isinstance(column, BooleanColumn) else _TIME
