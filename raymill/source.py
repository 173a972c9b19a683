"""The source: the files that hold a table's rows, checked early and cut into pieces by their content alone.

It knows names, sizes, headers and footers of files, and reads no rows but to find where a big CSV may be cut.
Nothing here depends on the cluster: the same files give the same fingerprint and the same pieces anywhere.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raymill.bundled import PREFIX, materialise
from raymill.csv_cuts import find_cuts
from raymill.errors import DataError
from raymill.piece import (
    CSV_SUFFIXES,
    PARQUET_SUFFIXES,
    Part,
    Piece,
    csv_columns,
    delimiter_of,
    is_parquet,
    plain_type,
    readable,
)
from raymill.store import FileInfo, Store

_FORMAT = 1
_CSV_PIECE_BYTES = 32 << 20
_PARQUET_PIECE_BYTES = 64 << 20
# What a gzip or zip of a CSV is taken to grow to, for grouping files.
_INFLATION = 4
_HEADS_AT_ONCE = 16
_STEM_LETTERS = 40
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_SUFFIX = re.compile(r"\.(csv|tsv|parquet|pq)(\.gz|\.zip)?$", re.IGNORECASE)
_WILDCARD = re.compile(r"[*?\[]")
# pandas writes an index without a name as such a column; it is no data.
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_NAME_IT = "Name in data.source a CSV (.csv, .tsv, .csv.gz, .csv.zip) or Parquet file, a folder of them or a glob."


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a file tells before its rows: its schema, and of each row group (of a CSV: one) rows and bytes."""

    schema: pa.Schema
    group_rows: tuple[int, ...]
    group_bytes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table in files: `schema` is what every piece is read as, `fingerprint` changes when any file does."""

    store: Store
    files: tuple[FileInfo, ...]
    heads: tuple[Head, ...]
    schema: pa.Schema
    fingerprint: str
    csv_piece_bytes: int = _CSV_PIECE_BYTES
    parquet_piece_bytes: int = _PARQUET_PIECE_BYTES

    @classmethod
    def open(cls, uri: str, store: Store | None = None) -> Source:
        """Lists and checks the files of a source; a `bundled:NAME` table is written to `store` first.

        Raises DataError for what is absent, empty, of several formats or without a proper header, and for
        files whose columns differ, naming file and column.
        """
        bundled = uri.startswith(PREFIX)
        if bundled and store is None:
            raise DataError(f"{uri} needs a store to be written to.", _NAME_IT)
        base, files = _find(materialise(uri.removeprefix(PREFIX), store) if bundled and store else uri)
        _check_files(uri, files)
        with ThreadPoolExecutor(_HEADS_AT_ONCE) as pool:
            heads = list(pool.map(functools.partial(_read_head, base), files))
        if not any(rows for head in heads for rows in head.group_rows):
            raise DataError(f"{uri} has columns but no rows.", _NAME_IT)
        marks = [_digest(base.read_bytes(f.path)) for f in files] if bundled else [f.changed_ns for f in files]
        return cls(
            store=base,
            files=tuple(files),
            heads=tuple(heads),
            schema=_common_schema(files, heads),
            fingerprint=_fingerprint(files, marks),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.schema.names)

    @functools.cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The table's rows in order, cut: small files together, big ones by row groups or byte ranges."""
        parquet = is_parquet(self.files[0].path)
        limit = self.parquet_piece_bytes if parquet else self.csv_piece_bytes
        cut = self._parquet_parts if parquet else self._csv_parts
        parts = (part for file, head in zip(self.files, self.heads, strict=True) for part in cut(file, head))
        seen: Counter[str] = Counter()
        pieces = []
        for index, group in enumerate(_pack(parts, limit)):
            path = group[0].path
            stem = re.sub(r"[^A-Za-z0-9_]+", "-", _SUFFIX.sub("", Path(path).name))[:_STEM_LETTERS]
            name = f"{index:05d}-{stem}-{seen[path]}"
            seen[path] += 1
            pieces.append(Piece(name=name, store=self.store, parts=tuple(group), schema=self.schema))
        return tuple(pieces)

    def _csv_parts(self, file: FileInfo, head: Head) -> Iterator[tuple[Part, int]]:
        whole = Part(path=file.path, columns=tuple(head.schema.names))
        if not file.path.lower().endswith((".csv", ".tsv")):
            yield whole, file.size_bytes * _INFLATION
            return
        if file.size_bytes <= self.csv_piece_bytes:
            yield whole, file.size_bytes
            return
        with readable(self.store, file.path) as stream:
            cuts = find_cuts(stream, file.size_bytes, delimiter_of(file.path), self.csv_piece_bytes)
        starts = [(0, 0), *((cut.byte, cut.records) for cut in cuts)]
        stops = [*(cut.byte for cut in cuts), file.size_bytes]
        for (start, records), stop in zip(starts, stops, strict=True):
            yield replace(whole, start=start, stop=stop, first_record=records), stop - start

    def _parquet_parts(self, file: FileInfo, head: Head) -> Iterator[tuple[Part, int]]:
        whole = Part(path=file.path, columns=tuple(head.schema.names))
        record = 0
        for group, (rows, size_bytes) in enumerate(zip(head.group_rows, head.group_bytes, strict=True)):
            yield replace(whole, start=group, stop=group + 1, first_record=record), size_bytes
            record += rows


def _pack(parts: Iterable[tuple[Part, int]], limit_bytes: int) -> list[list[Part]]:
    """Consecutive parts together while they stay within a number of bytes; neighbours in a file become one."""
    groups: list[list[Part]] = []
    filled = 0
    for part, size_bytes in parts:
        if not groups or filled + size_bytes > limit_bytes:
            groups.append([])
            filled = 0
        filled += size_bytes
        last = groups[-1][-1] if groups[-1] else None
        if last is not None and last.path == part.path and last.stop == part.start:
            groups[-1][-1] = replace(last, stop=part.stop)
        else:
            groups[-1].append(part)
    return groups


def _find(uri: str) -> tuple[Store, list[FileInfo]]:
    """The files that a path, a folder or a glob means, in name order, and the store that they are under."""
    whole = Store(uri)
    file = whole.stat("")
    if file is not None:
        folder, _, name = whole.uri.rpartition("/")
        return Store(folder or "/"), [replace(file, path=name)]
    base, pattern = whole, ["**"]
    if _WILDCARD.search(uri) and not whole.exists(""):
        components = whole.uri.split("/")
        fixed = next(i for i, component in enumerate(components) if _WILDCARD.search(component))
        base, pattern = Store("/".join(components[:fixed]) or "/"), components[fixed:]
    recursive = len(pattern) > 1 or pattern == ["**"]
    return base, [f for f in base.files(recursive=recursive) if _is_meant(f.path.split("/"), pattern)]


def _is_meant(path: list[str], pattern: list[str]) -> bool:
    return not any(name.startswith((".", "_")) for name in path) and _matches(path, pattern)


def _matches(path: list[str], pattern: list[str]) -> bool:
    """Whether path components match a glob's; `**` stands for any number of them."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        rest = pattern[1:] or ["*"]
        return any(_matches(path[depth:], rest) for depth in range(len(path)))
    return bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def _check_files(uri: str, files: list[FileInfo]) -> None:
    if not files:
        raise DataError(f"There is no file at {uri}.", _NAME_IT)
    for file in files:
        if not file.path.lower().endswith(CSV_SUFFIXES + PARQUET_SUFFIXES):
            raise DataError(f"{file.path} in {uri} is neither CSV nor Parquet by its name.", _NAME_IT)
        if file.size_bytes == 0:
            raise DataError(f"{file.path} in {uri} is empty.", "Write it again, or leave it out of data.source.")
        if is_parquet(file.path) != is_parquet(files[0].path):
            raise DataError(
                f"{uri} holds both CSV and Parquet, such as {files[0].path} and {file.path}.",
                "Name files of one format with a glob, such as data/*.csv.",
            )


def _read_head(store: Store, file: FileInfo) -> Head:
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
        pa.field(field.name, plain_type(field.type))
        for field in file.schema_arrow
        if not _PANDAS_INDEX.fullmatch(field.name)
    ]
    _check_duplicates([field.name for field in fields], where)
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    return Head(
        schema=pa.schema(fields),
        group_rows=tuple(group.num_rows for group in groups),
        group_bytes=tuple(group.total_byte_size for group in groups),
    )


def _check_header(names: list[str], where: str) -> None:
    if not names:
        raise DataError(f"{where} has no rows.", "Write it again, or leave it out of data.source.")
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
    numbers = [float(name) for name in names if _NUMBER.fullmatch(name)]
    grow = all(low < high for low, high in itertools.pairwise(numbers))
    return not (grow and all(number.is_integer() and number >= 0 for number in numbers))


def _common_schema(files: list[FileInfo], heads: list[Head]) -> pa.Schema:
    """The first file's columns, each with a type that holds every file's; DataError where none does."""
    common = heads[0].schema
    for file, head in zip(files, heads, strict=True):
        absent = sorted(set(common.names) - set(head.schema.names))
        added = sorted(set(head.schema.names) - set(common.names))
        if absent or added:
            name, how = (absent[0], "lacks the") if absent else (added[0], "has a")
            raise DataError(
                f"{file.path} {how} column {name!r}, unlike {files[0].path}.",
                "Give all files of the source the same columns, or name fewer files.",
            )
        try:
            common = pa.unify_schemas([common, head.schema], promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{file.path} has other types than the files before it: {reason}.",
                "Write the column with one type in all files.",
            ) from error
    return common


def _fingerprint(files: list[FileInfo], marks: list[str] | list[int]) -> str:
    listing = [[f.path, f.size_bytes, mark] for f, mark in zip(files, marks, strict=True)]
    return _digest(json.dumps([_FORMAT, listing]).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
