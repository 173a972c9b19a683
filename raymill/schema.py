"""The schema: which columns of a table are features, of which kind, and how raw rows are made to conform.

| a column, unless the spec gives its type | becomes |
|---|---|
| every cell of all rows an ISO 8601 date or date-time | timestamp |
| every cell a number (0 and 1 too) | number |
| Arrow bool, or every cell true/false, yes/no, t/f | boolean |
| anything else | category |

Left out with a reason: a column that in the train rows holds only missing cells or one value without a gap; text
with over 1,000 distinct values in over half of its train cells, unless the spec gives it a type; nested Arrow types.
The schema knows features only: no target, no ignored column, no statistics.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raymill import json_rows
from raymill.cell_error import CellError
from raymill.cells import KINDS, NUMBER, BadCell, is_coded, is_supported, plain, read, texts, whole
from raymill.errors import DataError
from raymill.json_rows import RowsError
from raymill.native import Native, as_native, native_of
from raymill.spec import FeatureType
from raymill.statistics import ColumnSummary, TableSummary

__all__ = ["Column", "RowsError", "Schema", "absent_column", "infer_schema", "nearly_numbers"]

_MOST_DISTINCT = 1_000
_NEARLY = 0.9
_MOST_DISTINCT_SHARE = 0.5
_FREE_TEXT = "identifier or free text"
# A call into Arrow costs about as much as reading this many cells.
_FEW_ROWS = 1_024
_JSON_TYPES: dict[FeatureType, dict[str, Any]] = {
    "number": {"type": ["number", "null"]},
    "category": {"type": ["string", "number", "null"]},
    "boolean": {"type": ["boolean", "null"]},
    "timestamp": {"type": ["string", "null"], "description": "ISO 8601 date or date-time; UTC unless it has a zone"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A feature column; a missing cell is always allowed. `native` says what a category's training cells were."""

    name: str
    kind: FeatureType
    native: Native = "text"


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The feature columns in order, and (name, reason) of the columns that were left out."""

    columns: tuple[Column, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @cached_property
    def kinds(self) -> dict[str, FeatureType]:
        """Kinds by name, in column order."""
        return {column.name: column.kind for column in self.columns}

    @cached_property
    def natives(self) -> dict[str, Native]:
        """What the training cells were, by name, of the columns that are categories."""
        return {column.name: column.native for column in self.columns if column.kind == "category"}

    def conform(self, table: pa.Table) -> pa.Table:
        """The feature columns in order and in canonical types, read from text or native Arrow; others are dropped.

        Many categories that come as codes of texts stay codes.
        Raises DataError naming the column that is absent, or the column, row (from 0) and value of a bad cell.
        """
        self.require(table.column_names)
        cells = self._codes(table)
        raw = {name: plain(table[name]) for name in self.kinds if name not in cells}
        for kind in KINDS:
            names = [name for name in raw if self.kinds[name] == kind]
            cells |= zip(names, _read_all(names, [raw[name] for name in names], kind), strict=True)
        for name, native in self.natives.items():
            if name in raw and native != native_of(raw[name].type):
                cells[name] = as_native(cells[name], native)
        return pa.table({name: cells[name] for name in self.kinds})

    def _codes(self, table: pa.Table) -> dict[str, pa.Array]:
        """The categories that are texts, and codes of them here, with each different text read once."""
        if table.num_rows <= _FEW_ROWS:
            return {}
        names = [name for name, native in self.natives.items() if native == "text" and is_coded(table[name].type)]
        codes = {name: whole(table[name]) for name in names}
        return {name: _read_codes(array) for name, array in codes.items()}

    def require(self, names: Collection[str]) -> None:
        """Raises DataError where a table with columns of these names lacks a feature's."""
        present = set(names)
        for name in self.kinds:
            if name not in present:
                raise absent_column("the model", name, names)

    def table_from_rows(self, rows: list[dict[str, Any]]) -> pa.Table:
        """The conformed table of JSON objects; raises RowsError with `.problems`."""
        return json_rows.table_from_rows(self.kinds, self.natives, rows)

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of one row."""
        return {
            "type": "object",
            "properties": {column.name: _json_type(column) for column in self.columns},
            "additionalProperties": False,
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": [asdict(column) for column in self.columns],
            "left_out": [list(pair) for pair in self.left_out],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Schema:
        return cls(
            columns=tuple(Column(**column) for column in data["columns"]),
            left_out=tuple((name, reason) for name, reason in data["left_out"]),
        )


def _json_type(column: Column) -> dict[str, Any]:
    described = dict(_JSON_TYPES[column.kind])
    if column.kind == "category" and column.native == "boolean":
        described["type"] = ["boolean", *described["type"]]
    return described


def _read_all(names: list[str], columns: list[pa.Array], kind: FeatureType) -> list[pa.Array]:
    """Reads columns of one kind; a few rows in one go, because a request pays by the call and not by the cell."""
    for name, column in zip(names, columns, strict=True):
        if not is_supported(column.type):
            raise DataError(
                f"Column {name!r} is a {kind}, and not of type {column.type}.", "Write it as it was for the training."
            )
    if len(columns) > 1 and len(columns[0]) <= _FEW_ROWS and len({column.type for column in columns}) == 1:
        rows = len(columns[0])
        cells = read(pa.concat_arrays(columns), kind)
        if not isinstance(cells, BadCell):
            return [cells.slice(index * rows, rows) for index in range(len(columns))]
    return [_read_one(name, column, kind) for name, column in zip(names, columns, strict=True)]


def _read_codes(codes: pa.Array) -> pa.Array:
    """Codes of texts as codes of categories, null where a text means that a cell is missing."""
    words = texts(codes.dictionary)
    places = codes.indices
    if words.null_count:
        places = pc.if_else(words.is_valid().take(places), places, pa.scalar(None, places.type))
    return pa.DictionaryArray.from_arrays(places, words)


def _read_one(name: str, column: pa.Array, kind: FeatureType) -> pa.Array:
    cells = read(column, kind)
    if isinstance(cells, BadCell):
        raise _misfit(name, kind, cells, f"Correct or empty that cell: the model was trained with a {kind} there.")
    return cells


def _misfit(name: str, kind: FeatureType, bad: BadCell, fix: str) -> CellError:
    return CellError(f"Column {name!r} is a {kind}, but", bad.row, f" holds {bad.value!r}.", fix)


def infer_schema(
    summary: TableSummary, types: Mapping[str, FeatureType], ignore: Collection[str], target: str
) -> Schema:
    """Decides the kind of every column but the target and the ignored ones.

    Raises DataError for a name in `types` or `ignore`, or a target, that is no column, and for a type in `types`
    that a cell of any row contradicts.
    """
    _require_present(summary, types, ignore, target)
    columns, left_out = [], []
    for name, column in summary.columns.items():
        if name == target or name in ignore:
            continue
        kind = types.get(name) or _infer_kind(column)
        if name in types and "category" in column.unreadable:
            raise DataError(
                f"features gives {name!r} the type {kind}, and its cells of type {column.native} can be no feature.",
                "Write the column as numbers, texts or times, or take it out of features.",
            )
        if name in types and kind in column.unreadable:
            fix = f"Correct or empty that cell, or set features.{name}.type to what the column is."
            raise _misfit(name, kind, column.unreadable[kind], fix)
        reason = _reason_to_leave_out(column, kind, declared=name in types)
        if reason:
            left_out.append((name, reason))
        else:
            native = native_of(column.native) if kind == "category" else "text"
            columns.append(Column(name=name, kind=kind, native=native))
    return Schema(columns=tuple(columns), left_out=tuple(left_out))


def nearly_numbers(summary: TableSummary, schema: Schema, types: Collection[str]) -> dict[str, str]:
    """Categories and free text by a few cells only: nine in ten train cells or more are written as numbers.

    Gives for each column, unless it is typed, the first cell that isn't.
    """
    words = {name for name, kind in schema.kinds.items() if kind == "category"}
    words |= {name for name, reason in schema.left_out if reason == _FREE_TEXT}
    found = {}
    for name, seen in summary.columns.items():
        if name in words and name not in types and "number" in seen.unreadable:
            numbers = pc.match_substring_regex(seen.categories.texts, NUMBER).to_numpy(zero_copy_only=False)
            if seen.categories.counts[numbers].sum() >= _NEARLY * max(seen.categories.counts.sum(), 1):
                found[name] = seen.unreadable["number"].value
    return found


def _require_present(
    summary: TableSummary, types: Mapping[str, FeatureType], ignore: Collection[str], target: str
) -> None:
    for role, names in (("task.target", [target]), ("features", types), ("features.ignore", ignore)):
        for name in names:
            if name not in summary.columns:
                raise absent_column(role, name, summary.columns)


def absent_column(role: str, name: str, columns: Collection[str]) -> DataError:
    """The error for a column that `role` names and the table doesn't have."""
    near = difflib.get_close_matches(name, columns, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return DataError(
        f"The table has no column {name!r}, which {role} names.", f"{hint}Its columns: {', '.join(columns)}."
    )


def _infer_kind(column: ColumnSummary) -> FeatureType:
    if pa.types.is_boolean(column.native):
        return "boolean"
    order: tuple[FeatureType, ...] = ("timestamp", "number", "boolean")
    return next((kind for kind in order if kind not in column.unreadable), "category")


def _reason_to_leave_out(column: ColumnSummary, kind: FeatureType, *, declared: bool) -> str | None:
    statistics = column.statistics(kind)
    if statistics is None:
        return f"its type {column.native} is not supported"
    if statistics.count == 0:
        return "only missing cells"
    if statistics.count == column.train_rows and statistics.constant:
        collapsed = kind == "number" and column.distinct > 1
        return "its different values are equal as 64-bit floats" if collapsed else "one constant value"
    many = column.distinct > max(_MOST_DISTINCT, _MOST_DISTINCT_SHARE * statistics.count)
    if many and kind == "category" and not declared:
        return _FREE_TEXT
    return None
