"""A piece: the stretch of a source's files that is read, prepared and written as one table.

It knows how the bytes of CSV and Parquet become an Arrow table, and nothing of what the columns mean. A CSV
column is strings with nulls for empty cells; a Parquet column keeps its type, less Arrow's encodings of it.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from raymill.cell_error import CellError
from raymill.cells import coded, first_seen, is_coded, whole
from raymill.cursor import Cursor, open_coded
from raymill.errors import DataError, StoreError
from raymill.store import Store

PARQUET_SUFFIXES = (".parquet", ".pq")
CSV_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zip", ".tsv.zip")
# A record longer than a block is an error of Arrow's reader.
_BLOCK_BYTES = 8 << 20
_REPAIR = "Correct the file, or leave it out."
_ENCRYPTED = 1
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# What the readers of Arrow and Python raise for content that is not what it should be.
_DAMAGE = (
    pa.ArrowInvalid,
    pa.ArrowTypeError,
    NotImplementedError,
    UnicodeDecodeError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
)


def is_parquet(path: str) -> bool:
    return path.lower().endswith(PARQUET_SUFFIXES)


def delimiter_of(path: str) -> str:
    plain = path.lower().removesuffix(".gz").removesuffix(".zip")
    return "\t" if plain.endswith(".tsv") else ","


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of one file: bytes `[start, stop)` of a CSV, row groups `[start, stop)` of a Parquet file.

    `stop` is None for a whole file; `rows` is `[start, stop)` within one row group that is too large for a piece.
    `first_record` counts the file's records (the header of a CSV is one) before it; `columns` are the file's own
    names in the file's own order.
    """

    path: str
    columns: tuple[str, ...]
    start: int = 0
    stop: int | None = None
    rows: tuple[int, int] | None = None
    first_record: int = 0

    @property
    def first_row(self) -> int:
        """How many of the file's rows come before, its header not counted."""
        return self.first_record - (self.start > 0 and not is_parquet(self.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Parts of files that are read as one table, with the name that its prepared shards take.

    One that is a part of a row group may have a `cursor` over that, which it shares with the pieces beside it.
    """

    name: str
    store: Store
    parts: tuple[Part, ...]
    schema: pa.Schema
    cursor: Cursor | None = None

    @property
    def label(self) -> str:
        """The piece in a user's words: its file, how many files follow, and which rows of it come before."""
        first = self.parts[0]
        more = f" and {len(self.parts) - 1} more files" if len(self.parts) > 1 else ""
        offset = f" after its first {first.first_record} lines" if first.first_record else ""
        return f"{first.path}{offset}{more}"

    @contextlib.contextmanager
    def naming(self) -> Iterator[None]:
        """Says of an error about the piece's table in which file it is, and a cell's row in that file."""
        try:
            yield
        except CellError as error:
            file, row = self.place_of(error.row)
            raise error.at(row, file) from error
        except DataError as error:
            if any(part.path in error.what for part in self.parts):
                raise
            raise type(error)(f"In {self.label}: {error.what}", error.fix) from error

    def place_of(self, row: int) -> tuple[str, int]:
        """The file of a row of the piece and its row there, both from 0, found by reading one column again."""
        for part in self.parts:
            rows = self._read(part, self.schema.names[:1]).num_rows
            if row < rows:
                return part.path, part.first_row + row
            row -= rows
        raise IndexError(f"{self.name} has no such row")

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """All rows in file order, with all columns in the source's order, or those named in the order named.

        Raises DataError naming the file and Arrow's reason, with the row where Arrow knows it.
        """
        names = columns if columns is not None else self.schema.names
        return pa.concat_tables([self._read(part, names) for part in self.parts]).combine_chunks()

    def read_coded(self) -> pa.Table:
        """What `read` gives with all columns, with codes in place of texts that repeat (`raymill.cells.coded`)."""
        alone = len(self.parts) == 1
        tables = [self._read(part, self.schema.names, self.cursor, as_codes=alone) for part in self.parts]
        table = pa.concat_tables(tables).combine_chunks()
        for index, column in enumerate(table.columns):
            if is_coded(column.type) or pa.types.is_string(column.type):
                cells = first_seen(whole(column)) if is_coded(column.type) else coded(column)
                table = table.set_column(index, table.field(index).name, cells)
        return table

    def _read(self, part: Part, names: list[str], cursor: Cursor | None = None, as_codes: bool = False) -> pa.Table:
        wanted = pa.schema([self.schema.field(name) for name in names])
        with _damage_told(self.store, part.path, part.first_record):
            table = self._rows(part, names, cursor).select(names)
            if as_codes:
                wanted = _with_codes(wanted, table.schema)
            return _exactly(table, wanted).cast(wanted)

    def _rows(self, part: Part, names: list[str], cursor: Cursor | None) -> pa.Table:
        if cursor is not None and part.rows is not None:
            return cursor.rows(*part.rows)
        with self.store.reading(part.path) as stream:
            return _read_part(stream, part, names)


@contextlib.contextmanager
def in_turn(pieces: Sequence[Piece]) -> Iterator[Sequence[Piece]]:
    """A run of a source's pieces, to be read one after the other: parts of one row group share its decoding."""
    if len(pieces) == 1:
        yield pieces
        return
    store, part = pieces[0].store, pieces[0].parts[0]
    with store.reading(part.path) as stream:
        with _damage_told(store, part.path, part.first_record):
            cursor = Cursor(stream, part.start, pieces[0].schema.names)
        yield [replace(piece, cursor=cursor) for piece in pieces]


@contextlib.contextmanager
def placed(pieces: Sequence[Piece], rows: Sequence[int]) -> Iterator[None]:
    """Says of a bad cell in which file and row it is, of a table that pieces of so many rows make up."""
    try:
        yield
    except CellError as error:
        ends = list(itertools.accumulate(rows))
        index = bisect.bisect_right(ends, error.row)
        with pieces[index].naming():
            raise error.at(error.row - ends[index] + rows[index]) from error


@contextlib.contextmanager
def readable(store: Store, path: str, first_record: int = 0) -> Iterator[pa.NativeFile]:
    """An open file of a source; what Arrow finds wrong in its content is a DataError naming the file."""
    with _damage_told(store, path, first_record), store.reading(path) as stream:
        yield stream


@contextlib.contextmanager
def _damage_told(store: Store, path: str, first_record: int) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        if _is_utf16(store, path):
            raise DataError(f"{store.uri}/{path} can't be read: it is UTF-16.", "Write it as UTF-8.") from error
        raise _unreadable(store, path, error, first_record) from error
    except (StoreError, OSError) as error:
        cause = error.__cause__ if isinstance(error, StoreError) else error
        if not _is_of_content(cause):
            raise
        raise _unreadable(store, path, cause, first_record) from error


def _unreadable(store: Store, path: str, error: BaseException | None, first_record: int) -> DataError:
    """The reason in one line; Arrow counts the lines of a CSV from 1, in the stretch that it is given."""
    shown = "".join(letter if letter.isprintable() else " " for letter in str(error))
    reason = " ".join(shown.split()).rstrip(".")
    reason = re.sub(r"Row #(\d+)", lambda row: f"line {first_record + int(row[1])}", reason)
    is_text = "utf8" in reason.lower().replace("-", "")
    return DataError(f"{store.uri}/{path} can't be read: {reason}.", "Write it as UTF-8." if is_text else _REPAIR)


def _is_of_content(error: BaseException | None) -> bool:
    """Whether Arrow's OSError is of bytes that it could read: a failing disk gives a number, S3 its own words."""
    return isinstance(error, OSError) and error.errno is None and "AWS Error" not in str(error)


def _is_utf16(store: Store, path: str) -> bool:
    """Whether a CSV starts with UTF-16's byte order mark, which no UTF-8 does."""
    if is_parquet(path):
        return False
    with store.reading(path) as stream, contextlib.suppress(*_DAMAGE):
        return text_stream(stream, path).read(2) in _UTF_16
    return False


def own_type(kind: pa.DataType) -> pa.DataType:
    """A Parquet column's own type, less Arrow's encodings of it."""
    if pa.types.is_dictionary(kind):
        return own_type(kind.value_type)
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def csv_columns(stream: pa.NativeFile, path: str) -> tuple[list[str], bool]:
    """The header's names and whether a row follows, from the first block of a CSV file."""
    options = pacsv.ReadOptions(block_size=1 << 20, use_threads=False)
    try:
        reader = pacsv.open_csv(text_stream(stream, path), read_options=options, parse_options=_dialect(path))
    except pa.ArrowInvalid as error:
        # A header without a newline behind it is no block to Arrow.
        if "Empty CSV" in str(error):
            return [], False
        raise
    first: pa.RecordBatch | None = next(iter(reader), None)
    return list(reader.schema.names), first is not None


def _read_part(stream: pa.NativeFile, part: Part, columns: list[str]) -> pa.Table:
    if part.rows is not None:
        return Cursor(stream, part.start, columns).rows(*part.rows)
    if is_parquet(part.path):
        groups = range(part.start, pq.read_metadata(stream).num_row_groups if part.stop is None else part.stop)
        return open_coded(stream, groups, pre_buffer=True).read_row_groups(groups, columns=columns)
    if part.stop is not None:
        stream.seek(part.start)
        stream = pa.BufferReader(stream.read_buffer(part.stop - part.start))
    return pacsv.read_csv(
        text_stream(stream, part.path),
        # One thread, because only so does Arrow tell the row of a mistake.
        read_options=pacsv.ReadOptions(
            column_names=part.columns if part.start else None, block_size=_BLOCK_BYTES, use_threads=False
        ),
        parse_options=_dialect(part.path),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(part.columns, pa.string()),
            include_columns=columns,
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _exactly(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Decimals that become floats as their texts: Arrow's own cast often misses the nearest float."""
    for index, (column, field) in enumerate(zip(table.columns, wanted, strict=True)):
        if pa.types.is_decimal(column.type) and pa.types.is_floating(field.type):
            table = table.set_column(index, field.name, column.cast(pa.string()))
    return table


def _with_codes(wanted: pa.Schema, found: pa.Schema) -> pa.Schema:
    """A schema with codes where it has texts and codes of them were found."""
    pairs = zip(wanted, found, strict=True)
    return pa.schema(
        [
            mine.with_type(theirs.type) if pa.types.is_string(mine.type) and is_coded(theirs.type) else mine
            for mine, theirs in pairs
        ]
    )


def _dialect(path: str) -> pacsv.ParseOptions:
    return pacsv.ParseOptions(delimiter=delimiter_of(path), newlines_in_values=True)


def text_stream(stream: pa.NativeFile, path: str) -> Any:
    """A stream of a CSV's own bytes, out of the compression that its name tells."""
    if path.lower().endswith(".gz"):
        return pa.CompressedInputStream(stream, "gzip")
    if not path.lower().endswith(".zip"):
        return stream
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, pa.ArrowInvalid) as error:
        raise zipfile.BadZipFile("it is no readable zip file") from error
    members = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    if len(members) != 1:
        raise DataError(
            f"{path} holds {len(members)} files; a zipped table holds one.",
            "Unpack it and name its folder or one of its files.",
        )
    if archive.getinfo(members[0]).flag_bits & _ENCRYPTED:
        raise zipfile.BadZipFile("what it holds is encrypted")
    return archive.open(members[0])
