"""A steady file: an open file whose every read is made again while its store is away.

It knows a file that can be read at any place, and is the file object that pyarrow wants for one of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from io import SEEK_CUR, SEEK_END, SEEK_SET

import pyarrow as pa


class SteadyFile:
    """Reads `file` through `patiently`, which calls what it is given until that succeeds or must fail."""

    mode = "rb"

    def __init__(self, file: pa.NativeFile, patiently: Callable[[Callable[[], bytes]], bytes]) -> None:
        self._file, self._patiently = file, patiently
        self._size_bytes = int(file.size())
        self._at = 0

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def close(self) -> None:
        self._file.close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        start = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._size_bytes}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next bytes, up to `size` of them, or all that are left."""
        left = max(self._size_bytes - self._at, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        data = self._patiently(lambda: self._file.read_at(wanted, self._at))
        self._at += len(data)
        return data
