"""Raw rows: what the rows of requests to one version take in memory, and the table that those of many become."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeAlias

import pyarrow as pa

from raymill.schema import Schema
from serving.hourly_writer import held_bytes

Rows: TypeAlias = list[dict[str, Any]] | pa.Table
# What a row of JSON takes in memory at most, each of its cells with its place and key, and a letter of a text.
_ROW_BYTES, _CELL_BYTES, _LETTER_BYTES = 256, 144, 4
_WITH_TEXTS = ("category", "timestamp")


class RawRows:
    """Of rows that fit a schema, as they were sent; only reads itself, so that threads may share it."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        # Of JSON only texts can be of any length.
        self._texts = [name for name, kind in schema.kinds.items() if kind in _WITH_TEXTS]
        self._row_bytes = _ROW_BYTES + _CELL_BYTES * len(schema.columns)

    def size_of(self, rows: Rows) -> int:
        """The bytes of a request's rows in memory at most."""
        if isinstance(rows, pa.Table):
            return held_bytes(rows)
        letters = sum([len(cell) for name in self._texts for row in rows if type(cell := row.get(name)) is str])
        return len(rows) * self._row_bytes + _LETTER_BYTES * letters

    def conformed(self, requests: Sequence[Rows]) -> pa.Table:
        """One conformed table of the rows of one request or more, those of JSON first."""
        few = [rows for rows in requests if isinstance(rows, list)]
        many = [rows for rows in requests if not isinstance(rows, list)]
        tables = [self.schema.table_from_rows(list(chain.from_iterable(few)))] if few else []
        return pa.concat_tables(tables + self._conformed(many))

    def _conformed(self, tables: list[pa.Table]) -> list[pa.Table]:
        """In one go where they are alike, since a request's table costs by the call and not by the row."""
        if tables and all(table.schema.equals(tables[0].schema) for table in tables):
            tables = [pa.concat_tables(tables)]
        return [self.schema.conform(table) for table in tables]
