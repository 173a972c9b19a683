"""What a job's meter hears becomes metrics under the job's labels, and its gauges end with it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping

import pytest

from cluster.meters import METRICS, ExportedMeter, Metric, metered
from raymill.console import Console
from raymill.errors import DataError, Interrupted
from raymill.history import EpochRecord
from raymill.meter import Meter

LABELS = {"spec": "flights", "command": "train", "run": "flights-1"}
Recorded = tuple[str, float, Mapping[str, str]]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Recorder:
    """Keeps what is recorded, instead of Ray."""

    def __init__(self) -> None:
        self.all: list[Recorded] = []

    def __call__(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        assert tuple(labels) == metric.labels
        self.all.append((metric.name, value, labels))

    def values(self, name: str) -> list[float]:
        return [value for found, value, _ in self.all if found == name]

    def of(self, label: str) -> dict[str, float]:
        """The newest value by a label that only some metrics have."""
        return {labels[label]: value for _, value, labels in self.all if label in labels}


def record(at_s: float = 1001.0, **fields: float) -> EpochRecord:
    values = {"epoch": 3, "step": 30, "train_loss": 0.5, "validation_loss": 0.6, "lr": 0.01, "rows": 100}
    return EpochRecord(**(values | {"rows_per_s": 50.0, "seconds": 2.0, "steps": 10, "at_s": at_s} | fields))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(recorder: Recorder, clock: Clock) -> ExportedMeter:
    return ExportedMeter(LABELS, recorder, clock)


def test_a_finished_epoch_sets_gauges_and_counts_its_rows(meter: ExportedMeter, recorder: Recorder) -> None:
    meter.epoch(record(checkpoint_s=0.25, checkpoint_bytes=4096))
    meter.refresh()
    found = {name: value for name, value, labels in recorder.all if labels == LABELS}
    assert found == {
        "raymill_rows_total": 100.0,
        "raymill_rows_per_second": 50.0,
        "raymill_step_seconds": 0.2,
        "raymill_epoch": 3.0,
        "raymill_train_loss": 0.5,
        "raymill_validation_loss": 0.6,
        "raymill_learning_rate": 0.01,
        "raymill_checkpoint_seconds": 0.25,
        "raymill_checkpoint_bytes": 4096.0,
    }


def test_rows_of_an_earlier_job_are_not_counted_again(meter: ExportedMeter, recorder: Recorder) -> None:
    meter.epoch(record(at_s=999.0))
    meter.refresh()
    assert recorder.values("raymill_rows_total") == []
    assert recorder.values("raymill_epoch") == [3.0]


def test_what_is_not_known_is_not_exported(meter: ExportedMeter, recorder: Recorder) -> None:
    meter.epoch(record(steps=0))
    meter.worked(0)
    meter.refresh()
    names = {name for name, _, _ in recorder.all}
    assert not names & {"raymill_step_seconds", "raymill_checkpoint_seconds", "raymill_checkpoint_bytes"}
    assert recorder.values("raymill_rows_total") == [100.0]


def test_a_wait_that_nobody_saw_leaves_nothing(meter: ExportedMeter, recorder: Recorder) -> None:
    with meter.waiting("baselines"):
        pass
    meter.refresh()
    assert recorder.values("raymill_waiting_seconds") == []


def test_gauges_are_set_again_at_every_refresh(meter: ExportedMeter, recorder: Recorder) -> None:
    meter.epoch(record())
    meter.refresh()
    meter.refresh()
    assert recorder.values("raymill_train_loss") == [0.5, 0.5]


def test_a_job_that_waits_says_for_what_and_how_long(meter: ExportedMeter, recorder: Recorder, clock: Clock) -> None:
    with meter.waiting("2 GPUs"):
        clock.now_s += 30
        meter.refresh()
    assert recorder.of("what") == {"2 GPUs": 30.0}
    assert recorder.of("state") == {"running": 0.0, "waiting": 1.0}
    meter.refresh()
    assert recorder.values("raymill_waiting_seconds") == [30.0]
    assert recorder.of("state") == {"running": 1.0, "waiting": 0.0}


def test_retries_are_counted_by_kind(meter: ExportedMeter, recorder: Recorder) -> None:
    meter.retried("preemption")
    assert recorder.all == [("raymill_retries_total", 1.0, LABELS | {"reason": "preemption"})]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "succeeded"),
        (DataError("A.", "B."), "failed"),
        (Interrupted("A.", "B."), "stopped"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_a_console_is_metered_while_a_job_runs_and_its_end_is_counted(
    recorder: Recorder, error: BaseException | None, state: str
) -> None:
    console = Console(io.StringIO())
    expected = contextlib.nullcontext() if error is None else pytest.raises(type(error))
    with expected, metered(console, spec="flights", command="prepare", record=recorder):
        console.meter.worked(7)
        if error is not None:
            raise error
    assert type(console.meter) is Meter
    assert recorder.all[-1] == ("raymill_jobs_total", 1.0, {**LABELS, "command": "prepare", "run": "", "state": state})
    assert recorder.values("raymill_rows_total") == [7.0]


def test_a_console_that_nobody_meters_forgets() -> None:
    meter = Console(io.StringIO()).meter
    meter.worked(5)
    meter.epoch(record())
    meter.retried("worker")
    with meter.waiting("2 GPUs"):
        pass


def test_names_are_of_prometheus_and_each_is_there_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("raymill_") for name in names)
    assert all(metric.help.endswith(".") for metric in METRICS)
