"""The history: one record per finished epoch, spooled in the store between a trainer and whoever watches it.

It knows only the store: neither what an epoch is made of, nor who reads.

A folder holds objects named by their first epoch (`000021.json`), each with the records of one flush. An object's
records count up to the first epoch of the next object. A trainer that repeats epochs after a crash first deletes
the objects that begin after the first epoch it repeats, last first: so a reader sees, at every moment and wherever
a writer was killed, one record per epoch without a gap, and of a repeated epoch the record that was written last.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from raymill.errors import StoreError
from raymill.record import record_of
from raymill.store import Store

_FLUSH_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One finished epoch; losses are means over rows, `rows` those trained on in this epoch, by all workers."""

    epoch: int  # 1-based
    step: int  # global steps done at its end
    train_loss: float
    validation_loss: float
    lr: float
    rows: int
    rows_per_s: float
    seconds: float
    at_s: float = field(default_factory=time.time)  # Unix time of its end
    steps: int = 0  # 0 in histories of before it was kept
    checkpoint_s: float = 0.0  # how long the newest checkpoint took to write; 0 before there is one
    checkpoint_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class HistoryWriter:
    """Spools records into a folder of the store, at most one object a second; one writer per folder at a time.

    `flush` before a checkpoint is written: then the records of all epochs that a resume won't repeat are safe.
    """

    def __init__(self, store: Store, folder: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._folder, self._clock = store, folder, clock
        self._pending: list[EpochRecord] = []
        self._newest_epoch: int | None = None
        self._continues = False
        self._flush_due_s = float("-inf")

    def add(self, record: EpochRecord) -> None:
        """Takes a record in; writes what is pending if a second has passed. A store error waits for the next time."""
        if self._newest_epoch is not None and record.epoch <= self._newest_epoch:
            self._continues = False
            self._pending = [p for p in self._pending if p.epoch < record.epoch]
        self._pending.append(record)
        self._newest_epoch = record.epoch
        if self._clock() >= self._flush_due_s:
            with contextlib.suppress(StoreError):  # it stays pending, and training need not die of it
                self.flush()

    def flush(self) -> None:
        """Writes what is pending now. Raises StoreError when that fails, naming the object; it stays pending.

        A checkpoint after a failed flush would leave a gap for ever if its writer died then, so there is none.
        """
        try:
            self._write()
        finally:
            self._flush_due_s = self._clock() + _FLUSH_EVERY_S

    def close(self) -> None:
        """Writes what is pending at the end, as `flush` does."""
        self.flush()

    def _write(self) -> None:
        if not self._pending:
            return
        first = self._pending[0].epoch
        if not self._continues:
            for start in reversed(_starts(self._store, self._folder)):
                if start > first:
                    self._store.delete(_path(self._folder, start))
        self._store.write_json(_path(self._folder, first), [record.to_json() for record in self._pending])
        self._continues = True
        self._pending = []


def read_history(store: Store, folder: str, after_epoch: int = 0) -> list[EpochRecord]:
    """The records of epochs after `after_epoch`, in order, each epoch once. Raises StoreError, DataError."""
    starts = _starts(store, folder)
    oldest = max(bisect.bisect_right(starts, after_epoch + 1) - 1, 0)
    records: list[EpochRecord] = []
    for start, end in itertools.pairwise([*starts[oldest:], sys.maxsize]):
        path = _path(folder, start)
        found = [record_of(EpochRecord, data, f"{store.uri}/{path}") for data in store.read_json(path)]
        records += [r for r in found if after_epoch < r.epoch < end]
    return records


def _starts(store: Store, folder: str) -> list[int]:
    """The first epochs of the objects in a folder, ascending."""
    return sorted(int(file.path.rsplit("/", 1)[-1].removesuffix(".json")) for file in store.files(folder))


def _path(folder: str, first_epoch: int) -> str:
    return f"{folder}/{first_epoch:06d}.json"
