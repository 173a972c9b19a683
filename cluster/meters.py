"""Meters: a job's numbers as Prometheus metrics, beside Ray's own.

Ray's agent on the driver's node exports them at that node's metrics port, every 10 s, with `ray_` before each name.
It drops a gauge that was not set anew for 20 s, and keeps a counter for as long as the node lives. So gauges are set
again every few seconds while their job runs, and nothing stands for a job that has ended but its counters.
The label is `spec`, not `job`: Prometheus gives that name to what it scrapes.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from raymill.console import Console
from raymill.errors import Interrupted
from raymill.history import EpochRecord
from raymill.meter import Meter

_LABELS = ("spec", "command", "run")
_REFRESH_EVERY_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric; a counter's name ends with `_total`, and `own` is a label beside those of all."""

    name: str
    help: str
    own: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return _LABELS if self.own is None else (*_LABELS, self.own)


STATE = Metric(name="raymill_job_state", help="1 for what a job does: run, or wait.", own="state")
ENDED = Metric(name="raymill_jobs_total", help="Jobs that have ended: succeeded, failed or stopped.", own="state")
WAITING = Metric(name="raymill_waiting_seconds", help="How long a job has been waiting, and for what.", own="what")
RETRIES = Metric(name="raymill_retries_total", help="Attempts after a failure, by its kind.", own="reason")
ROWS = Metric(name="raymill_rows_total", help="Rows read, trained on or scored; prepare reads each one twice.")
RATE = Metric(name="raymill_rows_per_second", help="Rows per second of the newest epoch, over all workers.")
STEP = Metric(name="raymill_step_seconds", help="Mean duration of a step of the newest epoch.")
EPOCH = Metric(name="raymill_epoch", help="The newest finished epoch.")
TRAIN_LOSS = Metric(name="raymill_train_loss", help="Mean training loss per row of the newest epoch.")
VALIDATION_LOSS = Metric(name="raymill_validation_loss", help="Mean validation loss per row after the newest epoch.")
LEARNING_RATE = Metric(name="raymill_learning_rate", help="Learning rate at the end of the newest epoch.")
SAVING = Metric(name="raymill_checkpoint_seconds", help="How long the newest checkpoint took to write.")
SAVED = Metric(name="raymill_checkpoint_bytes", help="Size of the newest checkpoint.")
METRICS = (
    STATE,
    ENDED,
    WAITING,
    RETRIES,
    ROWS,
    RATE,
    STEP,
    EPOCH,
    TRAIN_LOSS,
    VALIDATION_LOSS,
    LEARNING_RATE,
    SAVING,
    SAVED,
)
Record = Callable[[Metric, float, Mapping[str, str]], None]


def _to_ray(metric: Metric, value: float, labels: Mapping[str, str]) -> None:
    instrument = _instrument(metric)
    (instrument.inc if metric.name.endswith("_total") else instrument.set)(value, dict(labels))


@functools.cache
def _instrument(metric: Metric) -> Any:
    """Ray's counter or gauge: one for each name in a process, whatever sessions it opens."""
    from ray.util.metrics import Counter, Gauge

    kind = Counter if metric.name.endswith("_total") else Gauge
    return kind(metric.name, metric.help, tag_keys=metric.labels)


@contextmanager
def metered(console: Console, *, spec: str, command: str, run: str = "", record: Record = _to_ray) -> Iterator[None]:
    """Exports what the console's meter hears while the block runs, and at its end how it ended. Ray must be up."""
    meter = ExportedMeter({"spec": spec, "command": command, "run": run}, record)
    before, console.meter = console.meter, meter
    try:
        with meter.refreshed():
            yield
    except BaseException as error:
        meter.ended("stopped" if isinstance(error, Interrupted | KeyboardInterrupt) else "failed")
        raise
    else:
        meter.ended("succeeded")
    finally:
        console.meter = before


class ExportedMeter(Meter):
    """Records what it hears under one job's labels; `refresh` sets every gauge again."""

    def __init__(self, labels: Mapping[str, str], record: Record, clock: Callable[[], float] = time.time) -> None:
        self._labels, self._record, self._clock = labels, record, clock
        self._opened_at_s = clock()
        self._gauges: dict[tuple[Metric, str], float] = {}
        self._waits: dict[str, float] = {}  # since when, by what for
        self._lock = threading.Lock()

    def worked(self, rows: int) -> None:
        if rows:
            self._add(ROWS, rows)

    def epoch(self, record: EpochRecord) -> None:
        """An epoch of before this meter was opened sets the gauges, but its rows were counted then."""
        gauges = {
            RATE: record.rows_per_s,
            EPOCH: record.epoch,
            TRAIN_LOSS: record.train_loss,
            VALIDATION_LOSS: record.validation_loss,
            LEARNING_RATE: record.lr,
        }
        if record.steps:
            gauges[STEP] = record.seconds / record.steps
        if record.checkpoint_bytes:
            gauges |= {SAVING: record.checkpoint_s, SAVED: record.checkpoint_bytes}
        with self._lock:
            self._gauges |= {(metric, ""): value for metric, value in gauges.items()}
        if record.at_s >= self._opened_at_s:
            self.worked(record.rows)

    def retried(self, reason: str) -> None:
        self._add(RETRIES, 1, reason)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        with self._lock:
            self._waits[what] = self._clock()
        try:
            yield
        finally:
            with self._lock:
                del self._waits[what]

    def ended(self, state: str) -> None:
        """Counts the job as ended, in one of three states."""
        self._add(ENDED, 1, state)

    @contextmanager
    def refreshed(self) -> Iterator[None]:
        """Keeps the gauges alive while the block runs."""
        over = threading.Event()

        def keep() -> None:
            self.refresh()
            while not over.wait(_REFRESH_EVERY_S):
                self.refresh()

        thread = threading.Thread(target=keep, name="meters", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.refresh()  # what the last seconds brought

    def refresh(self) -> None:
        """Sets every gauge, those of what the job does and waits for by the clock."""
        with self._lock:
            now_s, waits = self._clock(), dict(self._waits)
            gauges = dict(self._gauges)
        gauges |= {(STATE, "running"): not waits, (STATE, "waiting"): bool(waits)}
        gauges |= {(WAITING, what): now_s - since_s for what, since_s in waits.items()}
        for (metric, own), value in gauges.items():
            self._record(metric, float(value), self._of(metric, own))

    def _add(self, counter: Metric, value: float, own: str = "") -> None:
        self._record(counter, float(value), self._of(counter, own))

    def _of(self, metric: Metric, own: str) -> Mapping[str, str]:
        return self._labels if metric.own is None else {**self._labels, metric.own: own}
