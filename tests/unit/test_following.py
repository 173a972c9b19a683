"""Following a training: what was spooled arrives, each epoch once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from raymill.errors import StoreError, TrackerError
from raymill.following import Follower
from raymill.history import EpochRecord, HistoryWriter
from raymill.store import Store
from raymill.tracking import Tracker, connect


def record(epoch: int) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        step=epoch,
        train_loss=1 / epoch,
        validation_loss=1 / epoch,
        lr=0.001,
        rows=10,
        rows_per_s=10.0,
        seconds=1.0,
        at_s=1000.0 + epoch,
    )


class FlakyLog:
    """Takes records; refuses the first times it is asked."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.epochs = failures, list[int]()

    def log_history(self, records: Sequence[EpochRecord]) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise TrackerError("MLflow is away.", "Wait.")
        self.epochs += [r.epoch for r in records]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.005)
    assert condition()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def writer(store: Store) -> HistoryWriter:
    return HistoryWriter(store, "history")


def test_epochs_arrive_while_training_runs(store: Store, writer: HistoryWriter) -> None:
    seen, log = [], FlakyLog()
    with Follower(store, "history", log, lambda r: seen.append(r.epoch), every_s=0.01):
        writer.add(record(1))
        wait_for(lambda: log.epochs == [1])
        writer.add(record(2))
        writer.flush()
        wait_for(lambda: log.epochs == [1, 2])
    assert seen == [1, 2]


def test_the_end_drains_what_was_written_last(store: Store, writer: HistoryWriter) -> None:
    seen, log = [], FlakyLog()
    with Follower(store, "history", log, lambda r: seen.append(r.epoch), every_s=60):
        for epoch in (1, 2, 3):
            writer.add(record(epoch))
        writer.close()
    assert seen == log.epochs == [1, 2, 3]


def test_a_tracker_that_raises_twice_loses_and_doubles_nothing(store: Store, writer: HistoryWriter) -> None:
    seen, log = [], FlakyLog(failures=2)
    with Follower(store, "history", log, lambda r: seen.append(r.epoch), every_s=0.01):
        for epoch in range(1, 6):
            writer.add(record(epoch))
            writer.flush()
            wait_for(lambda epoch=epoch: len(seen) == epoch)
        wait_for(lambda: log.epochs == [1, 2, 3, 4, 5])
    assert seen == log.epochs == [1, 2, 3, 4, 5]


def test_a_tracker_that_stays_away_ends_nothing(store: Store, writer: HistoryWriter) -> None:
    seen: list[int] = []
    with Follower(store, "history", FlakyLog(failures=1000), lambda r: seen.append(r.epoch), every_s=0.01):
        for epoch in (1, 2, 3):
            writer.add(record(epoch))
        writer.close()
    assert seen == [1, 2, 3]


def test_an_exception_in_the_block_passes(store: Store, writer: HistoryWriter) -> None:
    log = FlakyLog(failures=1000)
    with pytest.raises(ValueError, match="mine"), Follower(store, "history", log, lambda r: None, every_s=60):
        writer.add(record(1))
        raise ValueError("mine")


def test_a_store_that_fails_for_a_while_loses_nothing(tmp_path: Path) -> None:
    class Flaky(Store):
        failures = 3

        def read_bytes(self, path: str) -> bytes:
            if self.failures > 0:
                self.failures -= 1
                raise StoreError("The bucket is away.", "Wait.")
            return super().read_bytes(path)

    store, log = Flaky(str(tmp_path)), FlakyLog()
    HistoryWriter(store, "history").add(record(1))
    with Follower(store, "history", log, lambda r: None, every_s=0.01):
        wait_for(lambda: log.epochs == [1])
    assert log.epochs == [1]


def test_a_retyped_command_sends_what_the_first_could_not(store: Store, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = Tracker.open(uri, "x", str(tmp_path / "artifacts"))
    writer = HistoryWriter(store, "history")
    with Follower(store, "history", tracker.run("r", params={}, tags={}), lambda r: None, every_s=0.01):
        writer.add(record(1))
        writer.close()
    with Follower(store, "history", FlakyLog(failures=1000), lambda r: None, every_s=0.01):
        HistoryWriter(store, "history").add(record(2))
    run = tracker.run("r", params={}, tags={})
    with Follower(store, "history", run, lambda r: None, every_s=60):
        pass
    found = connect(uri).get_metric_history(run.id, "train_loss")
    assert sorted((m.step, m.value) for m in found) == [(1, 1.0), (2, 0.5)]
