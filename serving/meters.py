"""Meters: what an endpoint's replica does, as Prometheus metrics beside Ray's own.

Ray's agent on the replica's node exports them, with `ray_` before each name; Ray's proxies count HTTP answers only, and
know no rows, versions or gRPC. It knows numbers and labels, no requests.
"""

from __future__ import annotations

import threading
from collections import Counter as Count
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from raymill.drift import Drift, Drifted, Steady, TooFewRows
from serving.hourly_writer import Counts, HourlyWriter

Item = TypeVar("Item")
# Often enough for Ray, which drops a gauge that was not set anew for 20 s.
_REFRESH_EVERY_S = 2.0
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 65536)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric, with the label `endpoint` and its own; `bounds` are the upper ends of a histogram's buckets.

    Replicas are told apart by Ray's own label `WorkerId`.
    """

    name: str
    help: str
    kind: Literal["counter", "gauge", "histogram"]
    own: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return ("endpoint", *self.own)


REQUESTS = Metric(
    name="raymill_endpoint_requests_total",
    help="Requests that were answered, by status.",
    kind="counter",
    own=("status",),
)
SECONDS = Metric(
    name="raymill_endpoint_seconds", help="How long a request took in its replica.", kind="histogram", bounds=_SECONDS
)
ROWS = Metric(
    name="raymill_endpoint_rows_total", help="Rows that were scored, by version.", kind="counter", own=("version",)
)
BATCH = Metric(
    name="raymill_endpoint_batch_rows", help="Rows that were scored together.", kind="histogram", bounds=_ROWS
)
WAITING = Metric(name="raymill_endpoint_requests", help="Requests that are being answered.", kind="gauge")
VERSION = Metric(
    name="raymill_endpoint_version", help="1 for a version that is loaded.", kind="gauge", own=("version",)
)
LOG_ROWS = Metric(
    name="raymill_endpoint_log_rows_total",
    help="Rows of the logs of requests and feedback, written or dropped.",
    kind="counter",
    own=("log", "state"),
)
LOG_WAITING = Metric(
    name="raymill_endpoint_log_waiting_rows", help="Rows of a log that wait to be written.", kind="gauge", own=("log",)
)
DRIFT = Metric(
    name="raymill_endpoint_drift",
    help="Share of a column's newest rows that lies elsewhere than of the train rows, of the 20 worst columns.",
    kind="gauge",
    own=("column",),
)
SURE_DRIFT = Metric(
    name="raymill_endpoint_sure_drift",
    help="What that share is at least; the column drifts where this is over a tenth.",
    kind="gauge",
    own=("column",),
)
METRICS = (REQUESTS, SECONDS, ROWS, BATCH, WAITING, VERSION, LOG_ROWS, LOG_WAITING, DRIFT, SURE_DRIFT)
_MOST_COLUMNS = 20


def _instrument(metric: Metric) -> Any:
    """Ray's counter, gauge or histogram."""
    from ray.util.metrics import Counter, Gauge, Histogram

    if metric.kind == "histogram":
        return Histogram(metric.name, metric.help, list(metric.bounds), metric.labels)
    return (Counter if metric.kind == "counter" else Gauge)(metric.name, metric.help, metric.labels)


class Meters:
    """The metrics of one replica.

    Ray takes some microseconds to record one, which each request would pay: what can be added up is recorded every two
    seconds, by a thread. What is counted may come from any thread.
    """

    def __init__(self, endpoint: str, version: str, make: Callable[[Metric], Any] = _instrument) -> None:
        self._made = {metric: make(metric) for metric in METRICS}
        for instrument in self._made.values():
            instrument.set_default_tags({"endpoint": endpoint})
        self._seconds, self._batch = self._made[SECONDS], self._made[BATCH]
        self._stable = version
        self._statuses: deque[int] = deque()
        self._scored: deque[tuple[str, int]] = deque()
        self._logged: dict[str, Counts] = {}

    def answered(self, status: int, seconds: float) -> None:
        self._statuses.append(status)
        self._seconds.observe(seconds)

    def scored(self, version: str, rows: int) -> None:
        """Counts rows that a version scored together."""
        if rows:
            self._scored.append((version, rows))
            self._batch.observe(rows)

    def watch(
        self,
        waiting: Callable[[], int],
        candidate: Callable[[], str | None],
        logs: Mapping[str, HourlyWriter[Any]],
        drift: Callable[[], Drift | None],
    ) -> None:
        """Records counts and gauges every two seconds, in a thread that ends with its process."""

        def work() -> None:
            pause = threading.Event()
            while not pause.wait(_REFRESH_EVERY_S):
                self.record(waiting(), candidate(), logs, drift())

        threading.Thread(target=work, name="meters", daemon=True).start()

    def record(
        self, waiting: int, candidate: str | None, logs: Mapping[str, HourlyWriter[Any]], drift: Drift | None = None
    ) -> None:
        """Records what has been counted since the last time, and every gauge."""
        self._count(REQUESTS, Count((str(status),) for status in _drained(self._statuses)))
        rows_of: Count[tuple[str, ...]] = Count()
        for version, rows in _drained(self._scored):
            rows_of[(version,)] += rows
        self._count(ROWS, rows_of)
        self._made[WAITING].set(waiting)
        for version in {self._stable, candidate or self._stable}:
            self._made[VERSION].set(1, {"version": version})
        for log, writer in logs.items():
            self._record_log(log, writer)
        if drift is not None and not isinstance(drift, TooFewRows):
            self._record_drift(drift)

    def _record_log(self, log: str, writer: HourlyWriter[Any]) -> None:
        before, now = self._logged.get(log, Counts()), writer.counts.copy()
        self._logged[log] = now
        written, dropped = now.written_rows - before.written_rows, now.dropped_rows - before.dropped_rows
        self._count(LOG_ROWS, {(log, "written"): written, (log, "dropped"): dropped})
        self._made[LOG_WAITING].set(writer.held[0], {"log": log})

    def _record_drift(self, drift: Drifted | Steady) -> None:
        for column in drift.columns[:_MOST_COLUMNS]:
            self._made[DRIFT].set(column.effect, {"column": column.name})
            self._made[SURE_DRIFT].set(column.at_least, {"column": column.name})

    def _count(self, counter: Metric, counts: Mapping[tuple[str, ...], int]) -> None:
        """Adds to a counter, by the values of its own labels; Ray takes nothing that isn't above zero."""
        for values, count in counts.items():
            if count:
                self._made[counter].inc(count, dict(zip(counter.own, values, strict=True)))


def _drained(waiting: deque[Item]) -> Iterator[Item]:
    while waiting:
        yield waiting.popleft()
