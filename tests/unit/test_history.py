"""The history keeps every epoch once, whatever dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymill.errors import DataError, StoreError
from raymill.history import EpochRecord, HistoryWriter, read_history
from raymill.store import Store


def record(epoch: int, train_loss: float = 1.0) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        step=epoch * 10,
        train_loss=train_loss,
        validation_loss=2.0,
        lr=0.001,
        rows=100,
        rows_per_s=50.0,
        seconds=2.0,
        at_s=1000.0 + epoch,
    )


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class FailingStore(Store):
    """A store that refuses its first writes."""

    def __init__(self, uri: str, failures: int) -> None:
        super().__init__(uri)
        self.failures = failures

    def write_bytes(self, path: str, data: bytes) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise StoreError(f"Could not write {path}.", "Try again.")
        super().write_bytes(path, data)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def write(store: Store, flushes: list[list[EpochRecord]], *, close: bool = True) -> None:
    """One writer that flushes after each list, and at its very first record; unless closed it is killed then."""
    writer = HistoryWriter(store, "history", Clock())
    for batch in flushes:
        for each in batch:
            writer.add(each)
        writer.flush()
    if close:
        writer.close()


def epochs(store: Store, after_epoch: int = 0) -> list[int]:
    return [r.epoch for r in read_history(store, "history", after_epoch)]


def names(store: Store) -> list[str]:
    return [f.path.removeprefix("history/") for f in store.files("history")]


def test_a_record_of_another_version_names_its_object(store: Store) -> None:
    store.write_json("history/000001.json", [record(1).to_json() | {"colour": "red"}])
    with pytest.raises(DataError, match=r"history/000001\.json was written by another version.*'colour'"):
        read_history(store, "history")


def test_a_record_of_before_checkpoints_were_counted_is_read(store: Store) -> None:
    old = {name: value for name, value in record(1).to_json().items() if not name.startswith(("checkpoint_", "steps"))}
    store.write_json("history/000001.json", [old])
    assert read_history(store, "history") == [record(1)]


def test_no_history_is_an_empty_history(store: Store) -> None:
    assert read_history(store, "history") == []


def test_the_first_record_is_seen_at_once_and_later_ones_at_most_once_a_second(store: Store) -> None:
    clock = Clock()
    writer = HistoryWriter(store, "history", clock)
    writer.add(record(1))
    assert epochs(store) == [1]
    for epoch in range(2, 6):
        clock.now_s += 0.2
        writer.add(record(epoch))
    assert epochs(store) == [1]
    clock.now_s += 0.2
    writer.add(record(6))
    assert epochs(store) == [1, 2, 3, 4, 5, 6]
    assert names(store) == ["000001.json", "000002.json"]


def test_close_writes_what_is_pending(store: Store) -> None:
    clock = Clock()
    writer = HistoryWriter(store, "history", clock)
    writer.add(record(1))
    writer.add(record(2))
    writer.close()
    assert epochs(store) == [1, 2]


def test_flush_writes_what_is_pending_before_its_time(store: Store) -> None:
    writer = HistoryWriter(store, "history", Clock())
    writer.add(record(1))
    writer.add(record(2))
    writer.flush()
    assert epochs(store) == [1, 2]


def test_only_later_epochs_are_read(store: Store) -> None:
    write(store, [[record(1), record(2), record(3)], [record(4), record(5)], [record(6)]])
    for after in range(8):
        assert epochs(store, after) == list(range(after + 1, 7))


def test_a_complete_object_is_not_written_again(store: Store) -> None:
    write(store, [[record(1), record(2)]])
    before = store.files("history")
    write(store, [[record(3)], [record(4)]])
    assert set(before) < set(store.files("history"))


@pytest.mark.parametrize("first", range(1, 8))
def test_a_resume_replaces_the_epochs_it_repeats_and_leaves_no_gap(store: Store, first: int) -> None:
    write(store, [[record(1), record(2)], [record(3), record(4)], [record(5), record(6)]], close=False)
    write(store, [[record(first, train_loss=9.0)]], close=False)
    found = read_history(store, "history")
    assert [r.epoch for r in found] == list(range(1, first + 1))
    assert [r.train_loss for r in found] == [1.0] * (first - 1) + [9.0]


def test_a_second_resume_wins_over_the_first(store: Store) -> None:
    write(store, [[record(e) for e in range(1, 11)]], close=False)
    write(store, [[record(5, 2.0), record(6, 2.0)], [record(7, 2.0)]], close=False)
    write(store, [[record(4, 3.0), record(5, 3.0)], [record(6, 3.0), record(7, 3.0), record(8, 3.0)]])
    found = read_history(store, "history")
    assert [(r.epoch, r.train_loss) for r in found] == [(e, 1.0 if e < 4 else 3.0) for e in range(1, 9)]


def test_a_writer_killed_while_it_clears_the_way_leaves_no_gap(store: Store) -> None:
    write(store, [[record(1)], [record(2)], [record(3)], [record(4)]])

    class Dying(Store):
        def delete(self, path: str) -> None:
            if path.endswith("000003.json"):
                raise KeyboardInterrupt
            super().delete(path)

    with pytest.raises(KeyboardInterrupt):
        write(Dying(store.uri), [[record(2, 9.0)]])
    assert epochs(store) == [1, 2, 3]


def test_a_writer_that_goes_back_replaces_its_own_epochs(store: Store) -> None:
    write(store, [[record(1), record(2)], [record(3), record(4)], [record(2, 9.0), record(3, 9.0)]])
    assert [(r.epoch, r.train_loss) for r in read_history(store, "history")] == [(1, 1.0), (2, 9.0), (3, 9.0)]


def test_a_store_that_fails_and_recovers_loses_nothing(tmp_path: Path) -> None:
    store, clock = FailingStore(str(tmp_path), failures=2), Clock()
    writer = HistoryWriter(store, "history", clock)
    for epoch in (1, 2, 3):
        writer.add(record(epoch))
        clock.now_s += 1
    assert epochs(store) == [1, 2, 3]


def test_a_store_that_stays_down_is_told_at_the_close(tmp_path: Path) -> None:
    store = FailingStore(str(tmp_path), failures=100)
    writer = HistoryWriter(store, "history", Clock())
    writer.add(record(1))
    with pytest.raises(StoreError, match=r"history/000001\.json"):
        writer.close()


def test_a_flush_that_fails_is_told_so_that_no_checkpoint_follows_it(tmp_path: Path) -> None:
    store = FailingStore(str(tmp_path), failures=2)
    writer = HistoryWriter(store, "history", Clock())
    writer.add(record(1))
    with pytest.raises(StoreError, match=r"history/000001\.json"):
        writer.flush()
    writer.flush()
    assert epochs(store) == [1]
