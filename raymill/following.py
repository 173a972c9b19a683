"""Following a training: finished epochs go from the spool to the terminal and to MLflow while it runs.

It knows the spool and something that takes records, neither Ray nor MLflow. Neither a store nor a tracker that is away
stops it: what it could not read or send is in the store, where whoever ends the run finds it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol

from raymill.errors import RaymillError, StoreError, TrackerError
from raymill.history import EpochRecord, read_history
from raymill.store import Store

_LOG = logging.getLogger("raymill.following")
_POLLS_BETWEEN_TRIES = 10


class HistoryLog(Protocol):
    """What takes records, each epoch once however often it is sent; raises TrackerError."""

    def log_history(self, records: Sequence[EpochRecord]) -> None: ...


class Follower:
    """A thread that polls the spool while its block runs; `on_record` is called once per epoch, in order.

    When the block ends, what is left is read and sent, if that can be done at once.
    """

    def __init__(
        self,
        store: Store,
        folder: str,
        run: HistoryLog,
        on_record: Callable[[EpochRecord], None],
        every_s: float = 0.5,
    ) -> None:
        self._store, self._folder, self._run, self._on_record = store, folder, run, on_record
        self._every_s = every_s
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
        with suppress(RaymillError):  # the store has them, and whoever delivers the run reads them again
            self._read()
            self._send()

    def _follow(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._read()
                if time.monotonic() >= self._retry_at_s:
                    self._send()
            except (StoreError, TrackerError):
                self._retry_at_s = time.monotonic() + _POLLS_BETWEEN_TRIES * self._every_s
            except RaymillError as error:
                _LOG.warning(f"training goes on, and its epochs are not shown: {error.what}")
                return

    def _read(self) -> None:
        for record in read_history(self._store, self._folder, self._seen_epoch):
            self._unsent.append(record)
            self._seen_epoch = record.epoch
            self._on_record(record)

    def _send(self) -> None:
        if self._unsent:
            self._run.log_history(self._unsent)
            self._unsent = []
