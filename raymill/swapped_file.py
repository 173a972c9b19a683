"""A swapped file: a small local file that one of several processes changes, and only from what that one has found.

Whoever reads it meanwhile sees it before or after. It knows one path, and nothing of what its bytes mean.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

PARTIAL = ".partial"


def content_of(path: Path) -> bytes | None:
    """What it holds, None where there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def swap_file(path: Path, found: bytes | None, data: bytes | None) -> bool:
    """Makes `data` of what was `found`, where None is no file; False where something else is there by now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        if content_of(path) != found:
            return False
        if data is None:
            path.unlink(missing_ok=True)
            return True
        return _put(path, data, is_new=found is None)


def put_new(partial: Path, path: Path) -> None:
    """Gives a file that has been written its name beside it, unless another has that name by now."""
    with _locked(path.parent):
        if not path.exists():
            _linked(partial, path)


def bring_to_disk(path: str) -> None:
    """Waits until a file's content would outlive a power loss, as its new name might without it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(path: Path, data: bytes, is_new: bool) -> bool:
    partial = Path(f"{path}.{uuid.uuid4().hex[:8]}{PARTIAL}")
    try:
        partial.write_bytes(data)
        bring_to_disk(str(partial))
        if is_new and not _linked(partial, path):
            return False
        if not is_new:
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return True


def _linked(partial: Path, path: Path) -> bool:
    """Gives a file its name, if nobody has it: on a network file system, where the lock may be this machine's alone."""
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        partial.replace(path)
    return True


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a folder against whoever else would swap a file in it; the kernel gives it back, however a process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
