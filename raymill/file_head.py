"""The head of a file: what it tells of its columns before its rows, and whether files agree on it."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from raymill.cells import NUMBER
from raymill.errors import DataError
from raymill.piece import csv_columns, is_parquet, own_type, readable
from raymill.store import FileInfo, Store

_NUMBER = re.compile(NUMBER, re.ASCII)
# pandas writes an index without a name as such a column; it is no data.
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")

_DELIMITERS = (";", "\t", "|", ",")

# Bytes of a cell in memory, of the types of Parquet that are not texts; a text is taken for 12 letters and an offset.
_CELL_BYTES = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
_TEXT_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a file tells before its rows: its schema, and of each row group (of a CSV: one) rows and bytes.

    A row group's bytes are what it takes in memory, estimated: a dictionary makes it far smaller in the file.
    """

    schema: pa.Schema
    group_rows: tuple[int, ...]
    group_bytes: tuple[int, ...]


def read_head(store: Store, file: FileInfo) -> Head:
    """Reads a CSV's first block or a Parquet file's footer; DataError for what can be no table."""
    where = f"{store.uri}/{file.path}"
    with readable(store, file.path) as stream:
        if is_parquet(file.path):
            return _parquet_head(pq.ParquetFile(stream), where)
        names, has_rows = csv_columns(stream, file.path)
    _check_header(names, where)
    schema = pa.schema([(name, pa.string()) for name in names])
    return Head(schema=schema, group_rows=(int(has_rows),), group_bytes=(file.size_bytes,))


def _parquet_head(file: pq.ParquetFile, where: str) -> Head:
    fields = [
        pa.field(field.name, own_type(field.type))
        for field in file.schema_arrow
        if not _PANDAS_INDEX.fullmatch(field.name)
    ]
    names = [field.name for field in fields]
    if "" in names:
        raise DataError(
            f"{where}: column {names.index('') + 1} has no name.", "Name it, or write the file without that column."
        )
    _check_duplicates(names, where)
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    return Head(
        schema=pa.schema(fields),
        group_rows=tuple(group.num_rows for group in groups),
        group_bytes=tuple(sum(map(_bytes_in_memory, _columns(group))) for group in groups),
    )


def _columns(group: pq.RowGroupMetaData) -> Iterator[pq.ColumnChunkMetaData]:
    return (group.column(index) for index in range(group.num_columns))


def _bytes_in_memory(column: pq.ColumnChunkMetaData) -> int:
    cell = _CELL_BYTES.get(column.physical_type, _TEXT_BYTES)
    return int(max(column.total_uncompressed_size, column.num_values * cell))


def _check_header(names: list[str], where: str) -> None:
    if not names:
        raise DataError(f"{where} has no rows.", "Write it again, or leave it out of data.source.")
    if len(names) == 1 and (other := next((mark for mark in _DELIMITERS if mark in names[0]), None)):
        raise DataError(
            f"{where} has one column, and {other!r} in its name: {names[0][:60]}.",
            "Write it with a comma between the cells (.csv), or a tab (.tsv).",
        )
    if _looks_like_a_row(names):
        shown = ", ".join(names[:4])
        raise DataError(
            f"{where} seems to have no header: its first row is {shown}{', ...' if len(names) > 4 else ''}.",
            "Write the column names as the first row.",
        )
    if "" in names:
        raise DataError(
            f"{where}: column {names.index('') + 1} has no name in the header.",
            "Name it, or write the file without that column (pandas: to_csv(index=False)).",
        )
    _check_duplicates(names, where)


def _check_duplicates(names: list[str], where: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{where} has more than one column named {twice[0]!r}.", "Give each its own name.")


def _looks_like_a_row(names: list[str]) -> bool:
    """True where a name is a number, unless such names are whole numbers that grow, as pixels or years do."""
    numbers = [float(name) for name in names if _NUMBER.match(name)]
    grow = all(low < high for low, high in itertools.pairwise(numbers))
    return not (grow and all(number.is_integer() and number >= 0 for number in numbers))


def common_schema(files: Sequence[FileInfo], heads: Sequence[Head]) -> pa.Schema:
    """The first file's columns, each with a type that holds every file's; DataError where none does."""
    common = heads[0].schema
    names = set(common.names)
    for file, head in zip(files, heads, strict=True):
        absent = sorted(names - set(head.schema.names))
        added = sorted(set(head.schema.names) - names)
        if absent or added:
            name, how = (absent[0], "lacks the") if absent else (added[0], "has a")
            raise DataError(
                f"{file.path} {how} column {name!r}, unlike {files[0].path}.",
                "Give all files of the source the same columns, or name fewer files.",
            )
        if head.schema != common:
            common = pa.schema([_common_field(field, head.schema.field(field.name), file) for field in common])
    return pa.schema([field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in common])


def _common_field(field: pa.Field, other: pa.Field, file: FileInfo) -> pa.Field:
    """A column in the type that holds it in the files so far and in one more; nulls alone are of any type."""
    try:
        return _unified(_beside(field, other.type), _beside(other, field.type))
    except pa.ArrowException as error:
        with contextlib.suppress(pa.ArrowException):
            return _unified(field.with_type(_wide_type(field.type)), other.with_type(_wide_type(other.type)))
        reason = " ".join(str(error).split())
        raise DataError(
            f"{file.path} has other types than the files before it: {reason}.",
            "Write the column with one type in all files.",
        ) from error


def _beside(field: pa.Field, other: pa.DataType) -> pa.Field:
    """A column as it meets one of another type: Arrow would cut an integer or a decimal short."""
    if pa.types.is_decimal(other) and pa.types.is_integer(field.type):
        largest = 2 ** (field.type.bit_width - pa.types.is_signed_integer(field.type))
        return field.with_type(pa.decimal128(len(str(largest)), 0))
    if pa.types.is_decimal(other) and pa.types.is_floating(field.type):
        return field.with_type(pa.float64())
    return field


def _unified(field: pa.Field, other: pa.Field) -> pa.Field:
    pair = [pa.schema([field]), pa.schema([other])]
    return pa.unify_schemas(pair, promote_options="permissive").field(0)


def _wide_type(kind: pa.DataType) -> pa.DataType:
    """The type in which columns meet that have no other in common."""
    if pa.types.is_decimal(kind):
        return pa.float64()
    return pa.timestamp("us") if pa.types.is_date(kind) else kind
