"""What a process and all its descendants use: memory that can't be reclaimed, and processor time.

Memory is each process's proportional share (PSS), so that the object store and what forks share count once: the heap
is its anonymous pages, the store the shared ones; pages of files are counted apart, since the kernel drops or writes
them when it needs room. The processes that every Ray session has, whatever runs in it, are counted apart as well.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_EVERY_S = 0.2
# Of a session, and of Ray Data whoever uses it, by what is in their command lines.
_OF_RAY = ("/ray/core/src/", "/ray/dashboard/", "/ray/_private/", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
_OF_RAY_DATA = ("ray::_StatsActor", "ray::_AutoscalingCoordinatorActor")


@dataclass(slots=True, kw_only=True)
class Peak:
    """The highest sums over a tree's processes so far, in bytes; `largest` is the heap of one process.

    `heap` is that of the driver and of workers, `ray_heap` that of Ray's own processes.
    """

    heap: int = 0
    ray_heap: int = 0
    store: int = 0
    files: int = 0
    largest: int = 0

    def see(self) -> None:
        """Takes one sample of this process's tree."""
        tree = _tree()
        heaps, stores, files = zip(*(_shares(process.pid) for process in tree), strict=True)
        rays = sum(heap for process, heap in zip(tree, heaps, strict=True) if _is_rays(process))
        self.heap, self.ray_heap = max(self.heap, sum(heaps) - rays), max(self.ray_heap, rays)
        self.store = max(self.store, sum(stores))
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


def heap(pid: int) -> int:
    """Anonymous bytes of one process: pages of files are its own or shared as others of its kind come and go."""
    return _shares(pid)[0]


def _tree() -> list[psutil.Process]:
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def _is_rays(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False
    return any(part in command for part in (*_OF_RAY, *_OF_RAY_DATA))


def _shares(pid: int) -> tuple[int, int, int]:
    """Anonymous bytes, shared ones and those of files; nothing of a process that has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0, 0, 0
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
    return found["Pss_Anon"], found["Pss_Shmem"], found["Pss_File"]
