"""What a replica counts becomes metrics of its endpoint, in a table whose names others ask Prometheus for."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from raymill.drift import ColumnDrift, Drifted, Steady, TooFewRows
from serving.hourly_writer import Counts
from serving.meters import (
    DRIFT,
    LOG_ROWS,
    LOG_WAITING,
    METRICS,
    REQUESTS,
    ROWS,
    SURE_DRIFT,
    VERSION,
    WAITING,
    Meters,
    Metric,
)

Recorded = tuple[str, float, dict[str, str]]


@dataclass
class Recorder:
    """Makes instruments that keep what is recorded, instead of Ray's; they refuse what Ray's refuse."""

    all: list[Recorded] = field(default_factory=list)

    def __call__(self, metric: Metric) -> Any:
        return _Instrument(metric, self.all)

    def of(self, metric: Metric) -> list[tuple[float, dict[str, str]]]:
        found = [(value, labels) for name, value, labels in self.all if name == metric.name]
        self.all[:] = [each for each in self.all if each[0] != metric.name]
        return found


@dataclass
class _Instrument:
    metric: Metric
    all: list[Recorded]
    default: dict[str, str] = field(default_factory=dict)

    def set_default_tags(self, labels: dict[str, str]) -> None:
        self.default = labels

    def inc(self, value: float, labels: dict[str, str]) -> None:
        assert self.metric.kind == "counter" and value > 0
        self._keep(value, labels)

    def set(self, value: float, labels: dict[str, str] | None = None) -> None:
        assert self.metric.kind == "gauge"
        self._keep(value, labels or {})

    def observe(self, value: float) -> None:
        assert self.metric.kind == "histogram"
        self._keep(value, {})

    def _keep(self, value: float, labels: dict[str, str]) -> None:
        assert sorted(self.default | labels) == sorted(self.metric.labels)
        self.all.append((self.metric.name, value, labels))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def meters(recorder: Recorder) -> Meters:
    return Meters("far", "3", recorder)


def test_requests_and_rows_are_added_up_before_they_are_recorded(meters: Meters, recorder: Recorder) -> None:
    for status in (200, 200, 422):
        meters.answered(status, 0.002)
    meters.scored("3", 5)
    meters.scored("3", 7)
    meters.scored("4", 1)
    assert recorder.of(REQUESTS) == recorder.of(ROWS) == []
    meters.record(2, "4", {})
    assert recorder.of(REQUESTS) == [(2, {"status": "200"}), (1, {"status": "422"})]
    assert recorder.of(ROWS) == [(12, {"version": "3"}), (1, {"version": "4"})]
    assert recorder.of(WAITING) == [(2, {})]
    assert sorted(labels["version"] for _, labels in recorder.of(VERSION)) == ["3", "4"]
    meters.record(0, None, {})
    assert recorder.of(REQUESTS) == recorder.of(ROWS) == []
    assert recorder.of(VERSION) == [(1, {"version": "3"})]


def test_a_logs_rows_are_counted_once_and_those_that_wait_are_shown(meters: Meters, recorder: Recorder) -> None:
    writer = SimpleNamespace(counts=Counts(written_rows=100), held=(7, 900))
    meters.record(0, None, {"requests": writer})  # type: ignore[dict-item]
    assert recorder.of(LOG_ROWS) == [(100, {"log": "requests", "state": "written"})]
    assert recorder.of(LOG_WAITING) == [(7, {"log": "requests"})]
    writer.counts.written_rows += 20
    writer.counts.dropped_rows += 3
    meters.record(0, None, {"requests": writer})  # type: ignore[dict-item]
    assert [(value, labels["state"]) for value, labels in recorder.of(LOG_ROWS)] == [(20, "written"), (3, "dropped")]


def test_the_worst_twenty_columns_are_shown_and_by_how_much_surely(meters: Meters, recorder: Recorder) -> None:
    meters.record(0, None, {}, TooFewRows(rows=9))
    assert recorder.of(SURE_DRIFT) == recorder.of(DRIFT) == []
    columns = tuple(ColumnDrift(name=f"c{i}", effect=0.5 - i / 100, at_least=0.15 - i / 100) for i in range(50))
    meters.record(0, None, {}, Drifted(rows=1000, columns=columns))
    assert recorder.of(SURE_DRIFT) == [(c.at_least, {"column": c.name}) for c in columns[:20]]
    assert recorder.of(DRIFT) == [(c.effect, {"column": c.name}) for c in columns[:20]]
    meters.record(0, None, {}, Steady(rows=1000, columns=columns[30:31]))
    assert recorder.of(DRIFT) == [(0.2, {"column": "c30"})]


def test_names_are_of_prometheus_and_each_is_there_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("raymill_endpoint_") for name in names)
    assert all(metric.help.endswith(".") for metric in METRICS)
    assert all(metric.name.endswith("_total") == (metric.kind == "counter") for metric in METRICS)
    assert all(bool(metric.bounds) == (metric.kind == "histogram") for metric in METRICS)


def test_ray_makes_an_instrument_of_each() -> None:
    Meters("far", "3").record(0, None, {})
