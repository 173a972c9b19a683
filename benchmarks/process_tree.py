"""What a process and all its descendants use: memory that can't be reclaimed, and processor time.

Memory is each process's proportional share (PSS), so that the object store and what forks share count once: the heap
is its anonymous pages, the store the shared ones; pages of files are counted apart, since the kernel drops or writes
them when it needs room.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_EVERY_S = 0.2


@dataclass(slots=True, kw_only=True)
class Peak:
    """The highest sums over a tree's processes so far, in bytes; `largest` is the heap of one process."""

    heap: int = 0
    store: int = 0
    files: int = 0
    largest: int = 0

    def see(self) -> None:
        """Takes one sample of this process's tree."""
        shares = [_shares(process.pid) for process in _tree()]
        heaps, stores, files = zip(*shares, strict=True)
        self.heap, self.store = max(self.heap, sum(heaps)), max(self.store, sum(stores))
        self.files = max(self.files, sum(files))
        self.largest = max(self.largest, *heaps)


@contextmanager
def watched() -> Iterator[Peak]:
    """The peak of this process's tree while the block runs, sampled five times a second."""
    peak, ended = Peak(), threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY_S):
            peak.see()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def cpu_seconds() -> float:
    """Processor time that the tree has used so far, with that of children that have ended and been waited for."""
    total = 0.0
    for process in _tree():
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


def _tree() -> list[psutil.Process]:
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def _shares(pid: int) -> tuple[int, int, int]:
    """Anonymous bytes, shared ones and those of files; nothing of a process that has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0, 0, 0
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
    return found["Pss_Anon"], found["Pss_Shmem"], found["Pss_File"]
