"""A temporary folder that no killed process leaves for good: whoever makes the next one removes it.

Each is held by a file lock beside its files, which the kernel gives back when the process dies, however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "raymill-"
_LOCK, _FILES = "held", "files"
# One that is younger may not be held yet.
_YOUNG_S = 10.0


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder that vanishes when the block ends, after those that killed processes left have vanished."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as place:
        lock = os.open(Path(place) / _LOCK, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            files = Path(place) / _FILES
            files.mkdir()
            yield files
        finally:
            os.close(lock)


def sweep(young_s: float = _YOUNG_S) -> None:
    """Removes what nobody holds any more; what another user left is that user's."""
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):  # another process sweeps too
            if time.time() - lock.stat().st_mtime >= young_s and not is_held(lock):
                shutil.rmtree(lock.parent)


def is_held(lock: Path) -> bool:
    """Whether a living process has the file locked. Raises OSError where it is gone or another user's."""
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
