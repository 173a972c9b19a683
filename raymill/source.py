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

from raymill.bundled import PREFIX, materialise
from raymill.csv_cuts import find_cuts
from raymill.errors import DataError
from raymill.file_head import Head, common_schema, read_head
from raymill.piece import (
    CSV_SUFFIXES,
    PARQUET_SUFFIXES,
    Part,
    Piece,
    delimiter_of,
    is_parquet,
    readable,
)
from raymill.store import FileInfo, Store

_FORMAT = 1
_CSV_PIECE_BYTES = 32 << 20
_PARQUET_PIECE_BYTES = 40 << 20
_LEAST_PIECE_BYTES = 4 << 20
_WANTED_PIECES = 8
# A row group of more pieces than this is cut; a part of it is read by decoding what comes before it too.
_MOST_GROUP_PIECES = 2
# What a gzip or zip of a CSV is taken to grow to, for grouping files.
_INFLATION = 4
_HEADS_AT_ONCE = 16
_STEM_LETTERS = 40
_SUFFIX = re.compile(r"\.(csv|tsv|parquet|pq)(\.gz|\.zip)?$", re.IGNORECASE)
_WILDCARD = re.compile(r"[*?\[]")
_NAME_IT = "Name in data.source a CSV (.csv, .tsv, .csv.gz, .csv.zip) or Parquet file, a folder of them or a glob."


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table in files: `schema` is what every piece is read as, `fingerprint` changes when any file does.

    `reaches_down` says that any file below the store's folder may be one of them, not those of a file or `*` alone.
    """

    store: Store
    files: tuple[FileInfo, ...]
    heads: tuple[Head, ...]
    schema: pa.Schema
    fingerprint: str
    reaches_down: bool = False
    csv_piece_bytes: int = _CSV_PIECE_BYTES
    parquet_piece_bytes: int = _PARQUET_PIECE_BYTES

    @classmethod
    def open(cls, uri: str, store: Store | None = None) -> Source:
        """Lists and checks the files of a source; a `bundled:NAME` table is written to `store` first.

        Raises DataError for what is absent, empty, of several formats or without a proper header, and for
        files whose columns differ, naming file and column.
        """
        base, files, reaches_down = _listed(uri, store)
        _check_files(uri, files)
        with ThreadPoolExecutor(_HEADS_AT_ONCE) as pool:
            heads = list(pool.map(functools.partial(read_head, base), files))
        if not any(rows for head in heads for rows in head.group_rows):
            raise DataError(f"{uri} has columns but no rows.", _NAME_IT)
        return cls(
            store=base,
            files=tuple(files),
            heads=tuple(heads),
            schema=common_schema(files, heads),
            fingerprint=_fingerprint(uri, base, files),
            reaches_down=reaches_down,
        )

    @staticmethod
    def fingerprint_now(uri: str, store: Store | None = None) -> str:
        """The fingerprint of what is there now, by a listing alone: another one where a source has changed since."""
        base, files, _ = _listed(uri, store)
        return _fingerprint(uri, base, files)

    def changed(self, uri: str) -> list[str]:
        """Which of its files are others by now, or gone, by listing it again; one that has come since is none of them.

        What a `bundled:NAME` table holds can't change.
        """
        if uri.startswith(PREFIX):
            return []
        now = {file.path: file for file in _find(uri)[1]}
        return [file.path for file in self.files if now.get(file.path) != file]

    def overlaps(self, folder: Store) -> bool:
        """Whether a file written to a folder could be taken for the source's, or the source's for the folder's."""
        if self.reaches_down and folder.is_under(self.store):
            return True
        parents = {file.path.rpartition("/")[0] for file in self.files}
        return any((self.store.child(parent) if parent else self.store).is_under(folder) for parent in parents)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.schema.names)

    @property
    def folder_columns(self) -> tuple[str, ...]:
        """Names that folders give a value, as `year=2020/` does, and that are no columns: they are not read."""
        folders = (folder for file in self.files for folder in file.path.split("/")[:-1])
        named = dict.fromkeys(name for name, equals, _ in (folder.partition("=") for folder in folders) if equals)
        return tuple(name for name in named if name not in self.schema.names)

    @functools.cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The table's rows in order, cut: small files together, big ones by row groups, their rows or byte ranges."""
        parquet = is_parquet(self.files[0].path)
        limit = self._piece_bytes(self.parquet_piece_bytes if parquet else self.csv_piece_bytes)
        cut = self._parquet_parts if parquet else self._csv_parts
        parts = (part for file, head in zip(self.files, self.heads, strict=True) for part in cut(file, head, limit))
        seen: Counter[str] = Counter()
        pieces = []
        for index, group in enumerate(_pack(parts, limit)):
            path = group[0].path
            stem = re.sub(r"[^A-Za-z0-9_]+", "-", _SUFFIX.sub("", Path(path).name))[:_STEM_LETTERS]
            name = f"{index:05d}-{stem}-{seen[path]}"
            seen[path] += 1
            pieces.append(Piece(name=name, store=self.store, parts=tuple(group), schema=self.schema))
        return tuple(pieces)

    def runs(self, wanted: int) -> list[tuple[Piece, ...]]:
        """The pieces in order, those of one row group together in runs, so many runs as are wanted or more.

        A run is read in turn, so that what lies before its pieces is decoded for the first of them only.
        """
        most = max(1, len(self.pieces) // wanted)
        groups = (tuple(pieces) for _, pieces in itertools.groupby(self.pieces, _row_group))
        return [run for group in groups for run in _shared(group, most)]

    def _piece_bytes(self, most: int) -> int:
        """Less than `most` where the table is so small that few processors would have work otherwise."""
        total = sum(size for head in self.heads for size in head.group_bytes)
        return min(most, max(_LEAST_PIECE_BYTES, total // _WANTED_PIECES))

    def _csv_parts(self, file: FileInfo, head: Head, limit: int) -> Iterator[tuple[Part, int]]:
        whole = Part(path=file.path, columns=tuple(head.schema.names))
        if not file.path.lower().endswith((".csv", ".tsv")):
            yield whole, file.size_bytes * _INFLATION
            return
        if file.size_bytes <= limit:
            yield whole, file.size_bytes
            return
        with readable(self.store, file.path) as stream:
            cuts = find_cuts(stream, file.size_bytes, delimiter_of(file.path), limit)
        starts = [(0, 0), *((cut.byte, cut.records) for cut in cuts)]
        stops = [*(cut.byte for cut in cuts), file.size_bytes]
        for (start, records), stop in zip(starts, stops, strict=True):
            yield replace(whole, start=start, stop=stop, first_record=records), stop - start

    def _parquet_parts(self, file: FileInfo, head: Head, limit: int) -> Iterator[tuple[Part, int]]:
        whole = Part(path=file.path, columns=tuple(head.schema.names))
        record = 0
        for group, (rows, size_bytes) in enumerate(zip(head.group_rows, head.group_bytes, strict=True)):
            part = replace(whole, start=group, stop=group + 1, first_record=record)
            parts = -(-size_bytes // limit)
            if parts <= _MOST_GROUP_PIECES:
                yield part, size_bytes
            else:
                yield from _row_parts(part, rows, size_bytes, parts)
            record += rows


def _row_group(piece: Piece) -> tuple[str, int | None]:
    """What pieces have in common that are parts of one row group, and no others."""
    part = piece.parts[0]
    return (part.path, part.start) if len(piece.parts) == 1 and part.rows is not None else (piece.name, None)


def _shared(pieces: tuple[Piece, ...], most: int) -> Iterator[tuple[Piece, ...]]:
    """Pieces in the fewest near-equal runs of `most` each."""
    runs = -(-len(pieces) // most)
    for run in range(runs):
        yield pieces[run * len(pieces) // runs : (run + 1) * len(pieces) // runs]


def _row_parts(group: Part, rows: int, size_bytes: int, parts: int) -> Iterator[tuple[Part, int]]:
    """A row group cut into so many near-equal stretches of rows."""
    for part in range(parts):
        start, stop = part * rows // parts, (part + 1) * rows // parts
        if start < stop:
            yield replace(group, rows=(start, stop), first_record=group.first_record + start), size_bytes // parts


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
        if last is not None and last.path == part.path and last.stop == part.start and not (last.rows or part.rows):
            groups[-1][-1] = replace(last, stop=part.stop)
        else:
            groups[-1].append(part)
    return groups


def _listed(uri: str, store: Store | None) -> tuple[Store, list[FileInfo], bool]:
    """What `_find` finds; a `bundled:NAME` table is written to `store` first."""
    if not uri.startswith(PREFIX):
        return _find(uri)
    if store is None:
        raise DataError(f"{uri} needs a store to be written to.", _NAME_IT)
    return _find(materialise(uri.removeprefix(PREFIX), store))


def _find(uri: str) -> tuple[Store, list[FileInfo], bool]:
    """The store and the files that a path, a folder or a glob means, in name order; whether it means sub-folders."""
    whole = Store(uri)
    file = whole.stat("")
    if file is not None:
        folder, _, name = whole.uri.rpartition("/")
        return Store(folder or "/"), [replace(file, path=name)], False
    base, pattern = whole, ["**"]
    if _WILDCARD.search(uri) and not whole.exists(""):
        components = whole.uri.split("/")
        fixed = next(i for i, component in enumerate(components) if _WILDCARD.search(component))
        base, pattern = Store("/".join(components[:fixed]) or "/"), components[fixed:]
    recursive = len(pattern) > 1 or pattern == ["**"]
    files = [f for f in base.files(recursive=recursive) if _is_meant(f.path.split("/"), pattern)]
    return base, files, recursive


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
            raise DataError(f"{_shown(file, uri)} is neither CSV nor Parquet by its name.", _NAME_IT)
        if file.size_bytes == 0:
            raise DataError(f"{_shown(file, uri)} is empty.", "Write it again, or leave it out of data.source.")
        if is_parquet(file.path) != is_parquet(files[0].path):
            raise DataError(
                f"{uri} holds both CSV and Parquet, such as {files[0].path} and {file.path}.",
                "Name files of one format with a glob, such as data/*.csv.",
            )


def _shown(file: FileInfo, uri: str) -> str:
    """A file's name and where it is, or only where it is, if that ends with its name."""
    return uri if Path(uri).name == file.path else f"{file.path} in {uri}"


def _mark(file: FileInfo) -> str | int:
    """What changes when a file does, also one that is written twice in a second with as many bytes."""
    return f"{file.version} {file.changed_ns}" if file.version else file.changed_ns


def _fingerprint(uri: str, base: Store, files: list[FileInfo]) -> str:
    marks = [_digest(base.read_bytes(f.path)) if uri.startswith(PREFIX) else _mark(f) for f in files]
    listing = [[f.path, f.size_bytes, mark] for f, mark in zip(files, marks, strict=True)]
    return _digest(json.dumps([_FORMAT, listing]).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
