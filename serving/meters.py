"""Meters: what an endpoint's replica does, as Prometheus metrics beside Ray's own.

Ray's agent on the replica's node exports them, with `ray_` before each name; requests that HAProxy sends straight to a
replica are in no metric of Ray's proxies. It knows numbers and labels, no requests.
"""

from __future__ import annotations

import threading
from collections import Counter as Count
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

from ray.util.metrics import Counter, Gauge, Histogram

Item = TypeVar("Item")
# Often enough for Ray, which drops a gauge that was not set anew for 20 s.
_REFRESH_EVERY_S = 2.0
_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
_ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 65536]


class Meters:
    """The metrics of one replica, each with the label `endpoint`.

    Ray takes some microseconds to record one, which each request would pay: what can be added up is recorded every two
    seconds, by a thread. What is counted may come from any thread.
    """

    def __init__(self, endpoint: str, version: str) -> None:
        own = {"endpoint": endpoint}
        self._requests = Counter(
            "raymill_endpoint_requests_total",
            "Requests that were answered, by status.",
            ("endpoint", "status"),
        )
        self._seconds = Histogram(
            "raymill_endpoint_seconds", "How long a request took in its replica.", _SECONDS, ("endpoint",)
        )
        self._rows = Counter("raymill_endpoint_rows_total", "Rows that were scored.", ("endpoint", "version"))
        self._batch = Histogram("raymill_endpoint_batch_rows", "Rows that were scored together.", _ROWS, ("endpoint",))
        self._waiting = Gauge("raymill_endpoint_requests", "Requests that are being answered.", ("endpoint",))
        self._version = Gauge("raymill_endpoint_version", "1 for a version that is loaded.", ("endpoint", "version"))
        for metric in (self._requests, self._seconds, self._rows, self._batch, self._waiting, self._version):
            metric.set_default_tags(own)
        self._stable = version
        self._statuses: deque[int] = deque()
        self._scored: deque[tuple[str, int]] = deque()

    def answered(self, status: int, seconds: float) -> None:
        self._statuses.append(status)
        self._seconds.observe(seconds)

    def scored(self, version: str, rows: int) -> None:
        """Counts rows that a version scored together."""
        if rows:
            self._scored.append((version, rows))
            self._batch.observe(rows)

    def watch(self, waiting: Callable[[], int], candidate: Callable[[], str | None]) -> None:
        """Records counts and gauges every two seconds, in a thread that ends with its process."""

        def work() -> None:
            pause = threading.Event()
            while not pause.wait(_REFRESH_EVERY_S):
                self._record_counts()
                self._waiting.set(waiting())
                for version in {self._stable, candidate() or self._stable}:
                    self._version.set(1, {"version": version})

        threading.Thread(target=work, name="meters", daemon=True).start()

    def _record_counts(self) -> None:
        for status, requests in Count(_drained(self._statuses)).items():
            self._requests.inc(requests, {"status": str(status)})
        rows_of: Count[str] = Count()
        for version, rows in _drained(self._scored):
            rows_of[version] += rows
        for version, rows in rows_of.items():
            self._rows.inc(rows, {"version": version})


def _drained(waiting: deque[Item]) -> Iterator[Item]:
    while waiting:
        yield waiting.popleft()
