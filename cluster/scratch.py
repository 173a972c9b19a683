"""The scratch folder of one Ray session, and the end of what a session leaves in it.

Ray ends a session's processes with it, but for an HAProxy that was just being replaced, or whose manager was killed:
such a proxy keeps its port for ever. Its configuration lies in the scratch folder, so it is known whose it was.
A folder is held by a file lock, which the kernel gives back when its process dies, however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from raymill.temporary import is_held

_PARENT = Path("/tmp")  # short: a Unix socket's path ends at 108 bytes
_PREFIX = "rm-"
_LOCK = "held"
_YOUNG_S = 60.0


@contextlib.contextmanager
def scratch_folder(parent: Path = _PARENT) -> Iterator[Path]:
    """A folder of this block's own, after what killed sessions left in theirs is removed."""
    sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        remove(folder)
        os.close(lock)


def sweep(parent: Path = _PARENT, young_s: float = _YOUNG_S) -> None:
    """Removes the scratch folders of this user that nobody holds; one younger than `young_s` may not be held yet."""
    for lock in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):  # another session sweeps too, or the folder is another user's
            if time.time() - lock.stat().st_mtime >= young_s and not is_held(lock):
                remove(lock.parent)


def remove(folder: Path) -> None:
    """Deletes a scratch folder, so that no proxy can start from it again, and kills those that run from it."""
    shutil.rmtree(folder, ignore_errors=True)
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        if any(word == "-f" and file.startswith(f"{folder}/") for word, file in itertools.pairwise(words)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()  # a proxy that still starts is deaf to SIGTERM
    shutil.rmtree(folder, ignore_errors=True)  # of what they wrote meanwhile
