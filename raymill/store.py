"""The store: a folder or an s3:// prefix that holds all state, and the only file that touches either.

A path inside a store is relative, with forward slashes. A write is whole or absent: a local file is written
under a temporary name in its folder, brought to the disk and renamed, so that a name never stands for less than was
written, even after a power loss; an S3 object appears when its upload is complete. A bucket whose service is away is
waited for, by every method, up to WAITS_S; what waiting can't mend fails at once.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from raymill.bucket import Bucket, StoredObject, bucket_of, is_refused
from raymill.errors import SpecError, StoreError, StoreRefused
from raymill.outage import WAITS_S, patiently
from raymill.s3_uri import SCHEME
from raymill.steady_file import SteadyFile
from raymill.swapped_file import PARTIAL, bring_to_disk, content_of, swap_file
from raymill.temporary import temporary_folder

_REMEDY = (
    "Check that it exists, that you may read and write it, and that its disk has room; then type the command again."
)
_RENEW = "Give the processes that read and write it credentials that may; then type the command again."
_REMAKE = "Delete that file and type the command again: what it held is made anew."
_PROBED_CELLS = 1_000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A stored file: its path relative to the store, its size, when it changed, and a bucket's mark of its content."""

    path: str
    size_bytes: int
    changed_ns: int
    version: str = ""


def encode_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def encode_table(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file that is read whole, without statistics; the same table, the same bytes."""
    sink = pa.BufferOutputStream()
    _write_parquet(table, sink, write_statistics=False)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _write_parquet(table: pa.Table, sink: pa.NativeFile, **options: Any) -> None:
    encoded = [name for name, column in zip(table.column_names, table.columns, strict=True) if _may_repeat(column)]
    pq.write_table(table, sink, use_dictionary=encoded or False, **_compression(table, encoded), **options)


def _compression(table: pa.Table, encoded: list[str]) -> dict[str, Any]:
    """Zstandard, but not for floats of 32 bits that differ: 8% smaller, they would take three times as long to read.

    Parquet knows a nested column by other names than its own, and a table of such is all compressed.
    """
    if any(pa.types.is_nested(field.type) for field in table.schema):
        return {"compression": "zstd", "compression_level": 1}
    plain = {field.name for field in table.schema if pa.types.is_float32(field.type)} - set(encoded)
    return {
        "compression": {name: "none" if name in plain else "zstd" for name in table.column_names},
        "compression_level": {name: 1 for name in table.column_names if name not in plain},
    }


def _may_repeat(column: pa.ChunkedArray) -> bool:
    """Whether a dictionary pays: not for numbers of which the first differ, for which it takes five times as long."""
    if not (pa.types.is_integer(column.type) or pa.types.is_float32(column.type) or pa.types.is_float64(column.type)):
        return not pa.types.is_boolean(column.type)
    some = column.slice(0, _PROBED_CELLS)
    return 2 * len(some.unique()) <= len(some)


def decode_table(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """The table, or some of its columns, in the bytes of a Parquet file."""
    return pq.read_table(pa.BufferReader(data), columns=columns)


class Store:
    """A root URI and what may be done under it. Cheap to make and picklable: it holds the URI and its patience."""

    def __init__(self, uri: str, waits_s: float = WAITS_S) -> None:
        scheme, colon, place = uri.partition("://")
        self.uri = f"{scheme}{colon}{place.rstrip('/')}" if colon else str(Path(uri).absolute())
        self.waits_s = waits_s

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    def child(self, path: str) -> Store:
        """The store rooted at a folder of this one."""
        return Store(f"{self.uri}/{path}", self.waits_s)

    def at_once(self) -> Store:
        """The same store, which doesn't wait for a bucket that is away."""
        return Store(self.uri, waits_s=0)

    def is_under(self, other: Store) -> bool:
        """Whether this place is another one, or lies in it, whatever links lead there."""
        if self.is_local and other.is_local:
            return Path(self.uri).resolve().is_relative_to(Path(other.uri).resolve())
        return f"{self.uri}/".startswith(f"{other.uri}/")

    @property
    def is_local(self) -> bool:
        return "://" not in self.uri

    def check(self) -> None:
        """Whether this process may read and write here, found by doing so. Raises StoreError, without waiting."""
        bucket, folder = self._place()
        if bucket is not None:
            bucket.check(folder)
            return
        probe = f".check-{uuid.uuid4().hex[:8]}"
        self.write_bytes(probe, b"raymill")
        self.delete(probe)

    def read_bytes(self, path: str) -> bytes:
        def read() -> bytes:
            with self._opened(path) as stream:
                data: bytes = stream.read()
                return data

        with self._translated("read", path):
            return self._patiently(read)

    def write_bytes(self, path: str, data: bytes) -> None:
        with self.create(path) as sink:
            sink.write(data)

    def read_json(self, path: str) -> Any:
        """What a JSON file says. Raises StoreError naming a file that is not JSON."""
        return self.parsed(path, self.read_bytes(path))

    def parsed(self, path: str, data: bytes) -> Any:
        """The JSON in what was read of a file. Raises StoreError naming one that is not JSON."""
        try:
            return json.loads(data)
        except ValueError as error:
            raise StoreError(
                f"{self.uri}/{path} is damaged, not the JSON that was written: {error}.", _REMAKE
            ) from error

    def write_json(self, path: str, value: Any) -> None:
        self.write_bytes(path, encode_json(value))

    def peek(self, path: str) -> bytes | None:
        """What a small file holds now, None if there is none."""
        bucket, key = self._place(path)
        with self._translated("read", path):
            if bucket is None:
                return content_of(Path(key))
            found = self._patiently(lambda: bucket.read(key))
            return None if found is None else found[0]

    def swap(self, path: str, found: bytes | None, data: bytes | None) -> bool:
        """Writes a small file, or deletes it (None), where there is just what was `found`; else returns False.

        None was found where there was no file. Of several processes that have found the same, one succeeds; but two
        may nearly at once on a network file system, and where a service has no conditional writes. A True whose
        answer was lost looks like a False: see then what is there.
        """
        bucket, key = self._place(path)
        with self._translated("write", path):
            if bucket is None:
                return swap_file(Path(key), found, data)
            now = self._patiently(lambda: bucket.read(key))
            if (None if now is None else now[0]) != found:
                return False
            return self._patiently(lambda: bucket.swap(key, None if now is None else now[1], data))

    def read_table(self, path: str, columns: list[str] | None = None) -> pa.Table:
        def read() -> pa.Table:
            with self._opened(path) as source:
                return pq.read_table(source, columns=columns)

        with self._translated("read", path):
            return self._patiently(read)

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
            _write_parquet(table, sink)
            return int(sink.tell())

    @contextlib.contextmanager
    def reading(self, path: str) -> Iterator[pa.NativeFile]:
        """An open, seekable file for the length of a block; an OSError while it is read is a StoreError too."""
        with self._translated("read", path), self._patiently(lambda: self._opened(path)) as stream:
            yield stream if self.is_local else pa.PythonFile(SteadyFile(stream, self._patiently), mode="r")

    @contextlib.contextmanager
    def create(self, path: str) -> Iterator[pa.NativeFile]:
        """A writable Arrow file that appears under its name when the block ends, and never on an error."""
        with self._translated("write", path):
            bucket, key = self._place(path)
            if bucket is not None:
                # Uploaded when it is whole: closing an S3 stream, as an error would, completes its object.
                whole = pa.BufferOutputStream()
                yield whole
                data = whole.getvalue()
                self._patiently(lambda: bucket.write(key, data))
                return
            partial = f"{key}.{uuid.uuid4().hex[:8]}{PARTIAL}"
            Path(key).parent.mkdir(parents=True, exist_ok=True)
            try:
                with pafs.LocalFileSystem().open_output_stream(partial) as sink:
                    yield sink
                bring_to_disk(partial)
                Path(partial).replace(key)
            finally:
                Path(partial).unlink(missing_ok=True)

    def exists(self, path: str) -> bool:
        """Whether there is a file of that name, or a folder: in a bucket, one that holds a file."""
        bucket, key = self._place(path)
        with self._translated("read", path):
            if bucket is not None:
                return self.stat(path) is not None or self._patiently(lambda: any(bucket.objects(key)))
            return bool(pafs.LocalFileSystem().get_file_info(key).type != pafs.FileType.NotFound)

    def stat(self, path: str) -> FileInfo | None:
        """What is known of one file; None if there is no file of that name."""
        bucket, key = self._place(path)
        with self._translated("read", path):
            if bucket is not None:
                found = self._patiently(lambda: bucket.stat(key))
                return _info(path, found) if found is not None else None
            info = pafs.LocalFileSystem().get_file_info(key)
        return FileInfo(path, info.size, info.mtime_ns or 0) if info.type == pafs.FileType.File else None

    def written_ms(self, path: str) -> int:
        """When a file that is there was written, in milliseconds since 1970."""
        found = self.stat(path)
        if found is None:
            raise StoreError(f"{self.uri}/{path} is gone.", _REMEDY)
        return found.changed_ns // 1_000_000

    def files(self, path: str = "", recursive: bool = False) -> list[FileInfo]:
        """Files under a folder in name order, without half-written ones; empty if there is no such folder."""
        return [f for f in self._listed(path, recursive) if not f.path.endswith(PARTIAL)]

    def unfinished(self, path: str = "") -> list[FileInfo]:
        """Half-written files anywhere under a folder: being written now, or left by a process that died."""
        return [f for f in self._listed(path, True) if f.path.endswith(PARTIAL)] if self.is_local else []

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
        with temporary_folder() as scratch:
            for file in self.files(recursive=True):
                target = scratch / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.read_bytes(file.path))
            yield scratch

    def delete(self, path: str) -> None:
        """Deletes a file or a whole folder; absent is fine."""
        bucket, key = self._place(path)
        with self._translated("delete", path):
            if bucket is not None:
                self._patiently(lambda: bucket.delete(key))
                return
            filesystem = pafs.LocalFileSystem()
            info = filesystem.get_file_info(key)
            if info.type == pafs.FileType.Directory:
                filesystem.delete_dir(info.path)
            elif info.type == pafs.FileType.File:
                filesystem.delete_file(info.path)

    def _listed(self, path: str, recursive: bool) -> list[FileInfo]:
        bucket, base = self._place(path)
        with self._translated("list", path):
            root = len(self._place()[1])
            if bucket is not None:
                objects = self._patiently(lambda: list(bucket.objects(base, recursive)))
                files = [_info(o.key[root:].removeprefix("/"), o) for o in objects]
            else:
                selector = pafs.FileSelector(base, recursive=recursive, allow_not_found=True)
                found = [f for f in pafs.LocalFileSystem().get_file_info(selector) if f.type == pafs.FileType.File]
                files = [FileInfo(f.path[root + 1 :], f.size, f.mtime_ns or 0) for f in found]
        return sorted(files, key=lambda file: file.path)

    def _opened(self, path: str) -> pa.NativeFile:
        bucket, key = self._place(path)
        return pafs.LocalFileSystem().open_input_file(key) if bucket is None else bucket.open(key)

    def _place(self, path: str = "") -> tuple[Bucket | None, str]:
        """Where a path is: a bucket and a key, or no bucket and a path of this machine. Raises SpecError."""
        if self.is_local:
            return None, f"{self.uri}/{path}" if path else self.uri
        if not self.uri.startswith(SCHEME):
            raise SpecError(
                f"{self.uri} names no place that can be read.",
                "Use a folder or file of this machine, or s3://BUCKET/PREFIX.",
            )
        bucket, prefix = bucket_of(self.uri)
        return bucket, "/".join(part for part in (prefix, path) if part)

    def _patiently(self, action: Callable[[], _T]) -> _T:
        bucket, _ = self._place()
        return action() if bucket is None else patiently(action, bucket.uri, self.waits_s)

    @contextlib.contextmanager
    def _translated(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f"{self.uri}/{path}" if path else self.uri
            kind, remedy = (StoreRefused, _RENEW) if is_refused(error) else (StoreError, _REMEDY)
            raise kind(f"Could not {verb} {where}: {str(error).rstrip('.')}.", remedy) from error


def _info(path: str, found: StoredObject) -> FileInfo:
    return FileInfo(path, found.size_bytes, found.changed_ns, found.version)
