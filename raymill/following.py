"""Following a training: finished epochs go from the spool to the terminal and to MLflow while it runs.

It knows the spool and something that takes records, neither Ray nor MLflow. A run's results are in the store, so
a tracker that is down never stops a run, nor makes it fail at its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from raymill.console import Console
from raymill.errors import StoreError, TrackerError
from raymill.history import EpochRecord, read_history
from raymill.store import Store

_POLLS_BETWEEN_TRIES = 10
_DRAIN_EVERY_S = 1.0


class HistoryLog(Protocol):
    """What takes records, each epoch once however often it is sent; raises TrackerError."""

    def log_history(self, records: Sequence[EpochRecord]) -> None: ...


class Follower:
    """A thread that polls the spool while its block runs; `on_record` is called once per epoch, in order.

    When the block ends, what is left is read and sent, with tries for up to `drain_s` seconds (one try after an
    exception); epochs that still didn't reach MLflow are named through `say`.
    """

    def __init__(
        self,
        store: Store,
        folder: str,
        run: HistoryLog,
        on_record: Callable[[EpochRecord], None],
        every_s: float = 0.5,
        *,
        drain_s: float = 10.0,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._store, self._folder, self._run, self._on_record = store, folder, run, on_record
        self._every_s, self._drain_s, self._say = every_s, drain_s, say or Console().say
        self._seen_epoch = 0
        self._unsent: list[EpochRecord] = []
        self._retry_at_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._drain(until_s=time.monotonic() + (self._drain_s if kind is None else 0.0))

    def _follow(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._read()
                if time.monotonic() >= self._retry_at_s:
                    self._send()
            except (StoreError, TrackerError):
                # Both may come back, and the drain at the end says what was lost if they don't.
                self._retry_at_s = time.monotonic() + _POLLS_BETWEEN_TRIES * self._every_s

    def _drain(self, until_s: float) -> None:
        while True:
            try:
                self._read()
                self._send()
                return
            except (StoreError, TrackerError) as error:
                if time.monotonic() + _DRAIN_EVERY_S > until_s:
                    self._say(self._loss(error))
                    return
                time.sleep(_DRAIN_EVERY_S)

    def _read(self) -> None:
        for record in read_history(self._store, self._folder, self._seen_epoch):
            self._unsent.append(record)
            self._seen_epoch = record.epoch
            self._on_record(record)

    def _send(self) -> None:
        if self._unsent:
            self._run.log_history(self._unsent)
            self._unsent = []

    def _loss(self, error: StoreError | TrackerError) -> str:
        if not self._unsent:
            return f"Warning: the history of epochs could not be read. {error.what}"
        first, last = self._unsent[0].epoch, self._unsent[-1].epoch
        which = f"epoch {first}" if first == last else f"epochs {first} to {last}"
        return (
            f"Warning: {which} did not reach MLflow; the store has them, and the same command sends them. {error.what}"
        )
