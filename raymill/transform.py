"""The transform: every column's frozen parameters, and their one way to features in training and in serving.

The rules of each kind stand in `raymill.columns`. Features lie in schema order, numbers and categories apart. It is
data, not code: JSON holds it exactly (floats in their shortest form), and applying it needs a conformed table only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa

from raymill.columns import ColumnTransform, column_from_json, column_to_json, fit_column
from raymill.encoder import Encoder
from raymill.encodings import Features
from raymill.errors import DataError
from raymill.layout import Layout
from raymill.schema import Schema
from raymill.statistics import TableSummary

__all__ = ["Features", "Transform"]


@dataclass(frozen=True, kw_only=True)
class Transform:
    """Parameters fitted on train rows only, in schema order; thread-safe."""

    columns: tuple[ColumnTransform, ...]

    @classmethod
    def fit(cls, schema: Schema, summary: TableSummary) -> Transform:
        """Raises DataError when no feature is left, or two features would have the same name."""
        transform = cls(columns=tuple(fit_column(c, summary.columns[c.name]) for c in schema.columns))
        layout = transform.layout
        names = Counter([*layout.numbers, *(feature.name for feature in layout.categories)])
        if not names:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in schema.left_out) or "all are ignored"
            raise DataError(f"No column is left to learn from ({reasons}).", "Add columns, or ignore fewer.")
        name, times = names.most_common(1)[0]
        if times > 1:
            raise DataError(
                f"Two features would be called {name!r}.", "Rename the column of that name, or the one it begins with."
            )
        return transform

    @cached_property
    def layout(self) -> Layout:
        """The features' names and order."""
        categories = (column.category() for column in self.columns)
        return Layout(
            numbers=tuple(name for column in self.columns for name in column.number_names()),
            categories=tuple(feature for feature in categories if feature is not None),
        )

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.columns)

    def apply(self, table: pa.Table, order: Literal["C", "F"] = "C") -> Features:
        """The features of a table that `Schema.conform` or `Schema.table_from_rows` returned.

        Rows are contiguous, as a network takes them, or with "F" columns, as a file of columns does.
        """
        return self._encoder.encode(table, order)

    def to_json(self) -> dict[str, Any]:
        return {"columns": [column_to_json(column) for column in self.columns]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Transform:
        return cls(columns=tuple(column_from_json(column) for column in data["columns"]))
