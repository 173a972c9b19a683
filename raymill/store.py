"""The store: a folder or an s3:// prefix that holds all state, and the only file that touches either.

A path inside a store is relative, with forward slashes. A write is whole or absent: a local file is written
under a temporary name in its folder, brought to the disk and renamed, so that a name never stands for less than was
written, even after a power loss; an S3 object appears when its upload is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from raymill.errors import SpecError, StoreError

_REMEDY = (
    "Check that it exists, that you may read and write it, and that its disk has room; then type the command again."
)
_REMAKE = "Delete that file and type the command again: what it held is made anew."
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One stored file: its path relative to the store, its size and a mark that changes when it does."""

    path: str
    size_bytes: int
    changed_ns: int


def encode_table(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file; the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=1)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode_table(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """The table, or some of its columns, in the bytes of a Parquet file."""
    return pq.read_table(pa.BufferReader(data), columns=columns)


class Store:
    """A root URI and what may be done under it. Cheap to make and picklable: it holds only the URI."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/") if "://" in uri else str(Path(uri).absolute())

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    def child(self, path: str) -> Store:
        """The store rooted at a folder of this one."""
        return Store(f"{self.uri}/{path}")

    def is_under(self, other: Store) -> bool:
        """Whether this place is another one, or lies in it, whatever links lead there."""
        if self.is_local and other.is_local:
            return Path(self.uri).resolve().is_relative_to(Path(other.uri).resolve())
        return f"{self.uri}/".startswith(f"{other.uri}/")

    @property
    def is_local(self) -> bool:
        return "://" not in self.uri

    def local_path(self, path: str = "") -> Path:
        """The path on this machine's disk; only a local store has one."""
        if not self.is_local:
            raise StoreError(f"{self.uri} is not a folder of this machine.", "Name a local folder.")
        return Path(self.uri) / path

    def read_bytes(self, path: str) -> bytes:
        with self._translated("read", path), self.open(path) as stream:
            data: bytes = stream.read()
            return data

    def write_bytes(self, path: str, data: bytes) -> None:
        with self.create(path) as sink:
            sink.write(data)

    def read_json(self, path: str) -> Any:
        """What a JSON file says. Raises StoreError naming a file that is not JSON."""
        data = self.read_bytes(path)
        try:
            return json.loads(data)
        except ValueError as error:
            raise StoreError(
                f"{self.uri}/{path} is damaged, not the JSON that was written: {error}.", _REMAKE
            ) from error

    def write_json(self, path: str, value: Any) -> None:
        self.write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())

    def read_table(self, path: str, columns: list[str] | None = None) -> pa.Table:
        with self._translated("read", path), self.open(path) as source:
            return pq.read_table(source, columns=columns)

    def rows_of(self, path: str) -> int:
        """The rows of a Parquet file, from its footer alone. Raises StoreError naming a file that has none."""
        try:
            with self.reading(path) as source:
                return int(pq.read_metadata(source).num_rows)
        except pa.ArrowInvalid as error:
            raise StoreError(
                f"{self.uri}/{path} is damaged, not the Parquet that was written: {error}.", _REMAKE
            ) from error

    def write_table(self, path: str, table: pa.Table) -> int:
        """Writes Parquet, whole or not at all; returns its size in bytes."""
        with self.create(path) as sink:
            pq.write_table(table, sink, compression="zstd", compression_level=1)
            return int(sink.tell())

    def open(self, path: str) -> pa.NativeFile:
        """A readable, seekable Arrow file."""
        with self._translated("read", path):
            filesystem, root = self._filesystem()
            return filesystem.open_input_file(f"{root}/{path}" if path else root)

    @contextlib.contextmanager
    def reading(self, path: str) -> Iterator[pa.NativeFile]:
        """An open file for the length of a block; an OSError while it is read is a StoreError too."""
        with self._translated("read", path), self.open(path) as stream:
            yield stream

    @contextlib.contextmanager
    def create(self, path: str) -> Iterator[pa.NativeFile]:
        """A writable Arrow file that appears under its name when the block ends, and never on an error."""
        with self._translated("write", path):
            filesystem, root = self._filesystem()
            final = f"{root}/{path}"
            if not self.is_local:
                # Uploaded when it is whole: closing an S3 stream, as an error would, completes its object.
                whole = pa.BufferOutputStream()
                yield whole
                with filesystem.open_output_stream(final) as sink:
                    sink.write(whole.getvalue())
                return
            partial = f"{final}.{uuid.uuid4().hex[:8]}{_PARTIAL}"
            Path(final).parent.mkdir(parents=True, exist_ok=True)
            try:
                with filesystem.open_output_stream(partial) as sink:
                    yield sink
                _bring_to_disk(partial)
                Path(partial).replace(final)
            finally:
                Path(partial).unlink(missing_ok=True)

    def exists(self, path: str) -> bool:
        with self._translated("read", path):
            filesystem, root = self._filesystem()
            info = filesystem.get_file_info(f"{root}/{path}" if path else root)
            return bool(info.type != pafs.FileType.NotFound)

    def stat(self, path: str) -> FileInfo | None:
        """What is known of one file; None if there is no file of that name."""
        with self._translated("read", path):
            filesystem, root = self._filesystem()
            info = filesystem.get_file_info(f"{root}/{path}" if path else root)
        return FileInfo(path, info.size, info.mtime_ns or 0) if info.type == pafs.FileType.File else None

    def files(self, path: str = "", recursive: bool = False) -> list[FileInfo]:
        """Files under a folder in name order, without half-written ones; empty if there is no such folder."""
        return [f for f in self._listed(path, recursive) if not f.path.endswith(_PARTIAL)]

    def unfinished(self, path: str = "") -> list[FileInfo]:
        """Half-written files anywhere under a folder: being written now, or left by a process that died."""
        return [f for f in self._listed(path, True) if f.path.endswith(_PARTIAL)] if self.is_local else []

    def holds(self, path: str) -> bool:
        """Whether a path is in the store itself; False where a symbolic link leads out of its folder."""
        if not self.is_local:
            return True
        root = Path(self.uri).resolve()
        return (root / path).resolve().is_relative_to(root)

    @contextlib.contextmanager
    def as_folder(self) -> Iterator[Path]:
        """The store's files as a local folder: itself, or a copy that vanishes when the block ends."""
        if self.is_local:
            yield Path(self.uri)
            return
        with tempfile.TemporaryDirectory(prefix="raymill-") as scratch:
            for file in self.files(recursive=True):
                target = Path(scratch) / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.read_bytes(file.path))
            yield Path(scratch)

    def delete(self, path: str) -> None:
        """Deletes a file or a whole folder; absent is fine."""
        with self._translated("delete", path):
            filesystem, root = self._filesystem()
            info = filesystem.get_file_info(f"{root}/{path}")
            if info.type == pafs.FileType.Directory:
                filesystem.delete_dir(info.path)
            elif info.type == pafs.FileType.File:
                filesystem.delete_file(info.path)

    def _listed(self, path: str, recursive: bool) -> list[FileInfo]:
        with self._translated("list", path):
            filesystem, root = self._filesystem()
            base = f"{root}/{path}" if path else root
            selector = pafs.FileSelector(base, recursive=recursive, allow_not_found=True)
            found = [f for f in filesystem.get_file_info(selector) if f.type == pafs.FileType.File]
        return sorted((FileInfo(f.path[len(root) + 1 :], f.size, f.mtime_ns or 0) for f in found), key=lambda f: f.path)

    def _filesystem(self) -> tuple[pafs.FileSystem, str]:
        if self.is_local:
            return pafs.LocalFileSystem(), self.uri
        try:
            filesystem, root = pafs.FileSystem.from_uri(self.uri)
        except pa.ArrowInvalid as error:
            raise SpecError(
                f"{self.uri} names no place that can be read: {' '.join(str(error).split())}.",
                "Use a folder or file of this machine, or s3://BUCKET/PREFIX.",
            ) from error
        return filesystem, root

    @contextlib.contextmanager
    def _translated(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f"{self.uri}/{path}" if path else self.uri
            raise StoreError(f"Could not {verb} {where}: {error}.", _REMEDY) from error


def _bring_to_disk(path: str) -> None:
    """Waits until a file's content would outlive a power loss, as its new name might without it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
