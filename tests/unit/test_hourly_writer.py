"""The hourly writer loses nothing that it took, takes no more than it may hold, and never keeps anybody waiting."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymill.errors import StoreError
from raymill.store import Store
from serving.hourly_writer import Bounds, HourlyWriter

NOON_S = 1_795_694_400.0  # 2026-11-26T12:00:00Z
HOUR = "log/date=2026-11-26/hour="


@dataclass
class FakeStore:
    """Keeps tables in memory while it isn't away."""

    uri: str = "fake://log"
    away: bool = False
    tables: dict[str, pa.Table] = field(default_factory=dict)
    tries: int = 0

    def at_once(self) -> FakeStore:
        return self

    def write_table(self, path: str, table: pa.Table) -> int:
        self.tries += 1
        if self.away:
            raise StoreError(f"Could not write {path}: it is away.", "Wait.") from OSError("no route")
        assert path not in self.tables
        self.tables[path] = table
        return 100

    @property
    def numbers(self) -> list[int]:
        return sorted(number for table in self.tables.values() for number in table["n"].to_pylist())


@dataclass
class Scene:
    """A writer of numbers whose thread isn't started, and whose clock moves when it is told."""

    bounds: Bounds = field(default_factory=Bounds)
    every_s: float = 60.0
    store: Any = field(default_factory=FakeStore)
    now_s: float = NOON_S
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writer: HourlyWriter[int] = HourlyWriter(
            self.store,
            "log",
            "r1",
            self.table,
            every_s=self.every_s,
            bounds=self.bounds,
            clock=lambda: self.now_s,
            say=self.said.append,
        )

    def table(self, group: str, numbers: list[int]) -> pa.Table:
        if -1 in numbers:
            raise ValueError("no number")
        return pa.table({"n": numbers, "group": [group] * len(numbers)})

    def offer(self, number: int, group: str = "", at_s: float | None = None, size_bytes: int = 10) -> bool:
        return self.writer.offer(
            number, group=group, at_s=self.now_s if at_s is None else at_s, rows=1, size_bytes=size_bytes
        )


def test_what_was_taken_is_written_when_it_is_old_enough() -> None:
    scene = Scene()
    scene.offer(1)
    scene.writer.turn()
    scene.now_s += 59
    scene.offer(2)
    scene.writer.turn()
    assert scene.store.tables == {}
    scene.now_s += 1
    scene.writer.turn()
    assert list(scene.store.tables) == [f"{HOUR}12/r1-20261126T120000Z-000000.parquet"]
    assert scene.store.numbers == [1, 2]
    assert scene.writer.held == (0, 0)
    counts = scene.writer.counts
    assert (counts.written_rows, counts.written_bytes, counts.dropped_rows) == (2, 100, 0)


def test_rows_lie_in_the_hour_in_which_they_happened_and_an_hour_that_is_over_is_written_at_once() -> None:
    scene = Scene(every_s=3600)
    scene.now_s = NOON_S + 3_599
    scene.offer(1)
    scene.writer.turn()
    assert scene.store.tables == {}
    scene.now_s += 2
    scene.offer(2, at_s=NOON_S + 3_599.5)
    scene.offer(3)
    scene.writer.turn()
    assert {path[: len(HOUR) + 2] for path in scene.store.tables} == {f"{HOUR}12"}
    assert scene.store.numbers == [1, 2]
    scene.now_s += 3_600
    scene.writer.turn()
    assert {path[: len(HOUR) + 2] for path in scene.store.tables} == {f"{HOUR}12", f"{HOUR}13"}


@pytest.mark.parametrize("bounds", [Bounds(file_rows=3), Bounds(file_bytes=1_000)])
def test_a_full_file_does_not_wait(bounds: Bounds) -> None:
    scene = Scene(bounds=bounds)
    for number in range(3):
        scene.offer(number)
    scene.writer.turn()
    assert scene.store.numbers == [0, 1, 2]


def test_a_clock_that_was_set_back_delays_no_file() -> None:
    scene = Scene(every_s=3600)
    scene.offer(1)
    scene.writer.turn()
    scene.now_s -= 10 * 86_400
    scene.writer.turn()
    assert scene.store.numbers == [1]


def test_each_group_has_files_of_its_own() -> None:
    scene = Scene()
    for number in range(4):
        scene.offer(number, group="ab"[number % 2])
    scene.writer.turn(last=True)
    assert sorted(table["group"].unique().to_pylist() for table in scene.store.tables.values()) == [["a"], ["b"]]


def test_a_store_that_is_away_is_said_once_and_gets_what_was_kept_when_it_is_back() -> None:
    scene = Scene(store=FakeStore(away=True))
    for number in range(5):
        scene.offer(number)
        scene.writer.turn()
        scene.now_s += 60
    assert len(scene.said) == 1 and "fake://log is away (no route)" in scene.said[0]
    scene.store.away = False
    scene.writer.turn()
    assert len(scene.said) == 2 and "fake://log is back" in scene.said[1]
    scene.now_s += 60
    scene.writer.turn()
    assert scene.store.numbers == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("bounds", [Bounds(rows=10), Bounds(size_bytes=50_000)])
def test_while_a_store_is_away_no_more_is_held_than_may_be_and_what_is_dropped_is_counted(bounds: Bounds) -> None:
    scene = Scene(store=FakeStore(away=True), bounds=bounds)
    taken = [scene.offer(number, size_bytes=1_000) for number in range(500) if scene.writer.turn() is None]
    assert taken[0] and not taken[-1]
    a_table = 2 * 1_100
    assert scene.writer.held[0] <= bounds.rows and scene.writer.held[1] <= bounds.size_bytes + a_table
    assert scene.writer.counts.dropped_rows == taken.count(False)
    scene.store.away = False
    scene.writer.turn(last=True)
    assert scene.store.numbers == [number for number, was in enumerate(taken) if was]
    assert scene.offer(1)


def test_rows_that_make_no_table_cost_no_others(said: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    for _ in range(2):
        for number in range(100):
            scene.offer(-1 if number in (3, 64) else number)
        scene.writer.turn(last=True)
    assert scene.store.numbers == sorted(2 * [number for number in range(100) if number not in (3, 64)])
    assert scene.writer.counts.dropped_rows == 4 and scene.writer.held == (0, 0)
    assert len(said.records) == 1 and "no number" in said.text


def test_a_file_that_the_store_can_not_make_costs_no_others(said: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    write, scene.store.write_table = scene.store.write_table, lambda path, table: 1 // 0
    scene.offer(1)
    scene.writer.turn(last=True)
    scene.store.write_table = write
    scene.offer(2)
    scene.writer.turn(last=True)
    assert scene.store.numbers == [2] and scene.writer.held == (0, 0)
    assert scene.writer.counts.dropped_rows == 1 and "ZeroDivisionError" in said.text


def test_a_writer_that_was_never_started_closes_at_once() -> None:
    scene = Scene()
    assert scene.offer(1)
    scene.writer.close()
    assert len(scene.said) == 1 and "1 rows" in scene.said[0]


Step = st.one_of(
    st.tuples(st.just("offer"), st.integers(0, 7_200), st.integers(1, 5_000)),
    st.tuples(st.just("turn"), st.just(0), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 4_000), st.just(0)),
    st.tuples(st.just("store"), st.just(0), st.just(0)),
)


@given(st.lists(Step, max_size=60))
def test_whatever_happens_each_row_is_written_once_in_its_hour_or_counted(steps: list[tuple[str, int, int]]) -> None:
    scene, offered = Scene(bounds=Bounds(rows=20, size_bytes=40_000, file_rows=5)), {}
    for step, seconds, size_bytes in steps:
        match step:
            case "offer":
                offered[len(offered)] = NOON_S + seconds
                scene.offer(len(offered) - 1, at_s=NOON_S + seconds, size_bytes=size_bytes)
            case "turn":
                scene.writer.turn()
            case "wait":
                scene.now_s += seconds
            case _:
                scene.store.away = not scene.store.away
        assert scene.writer.held[0] <= 20
    scene.store.away = False
    scene.writer.turn(last=True)
    assert scene.writer.held == (0, 0)
    assert len(scene.store.numbers) == len(set(scene.store.numbers)) == scene.writer.counts.written_rows
    assert scene.writer.counts.written_rows + scene.writer.counts.dropped_rows == len(offered)
    for path, table in scene.store.tables.items():
        hour = int(path[len(HOUR) : len(HOUR) + 2])
        assert {12 + int((offered[number] - NOON_S) // 3_600) for number in table["n"].to_pylist()} == {hour}


def test_closing_writes_what_is_there_and_takes_no_more(tmp_path: Path) -> None:
    scene = Scene(store=Store(str(tmp_path)))
    scene.writer.start()
    scene.offer(1)
    scene.writer.close()
    assert not scene.offer(2)
    (file,) = scene.store.files(recursive=True)
    assert scene.store.read_table(file.path)["n"].to_pylist() == [1]
    assert scene.said == [] and scene.writer.counts.written_bytes == file.size_bytes


def test_closing_while_the_store_is_away_says_how_much_is_lost_and_waits_for_nobody() -> None:
    scene = Scene(store=FakeStore(away=True))
    scene.writer.start()
    scene.offer(1)
    since_s = time.monotonic()
    scene.writer.close()
    assert time.monotonic() - since_s < 5
    assert scene.store.tries == 1
    assert "1 rows for fake://log/log were not written, and are lost" in scene.said[-1]


def test_a_store_that_hangs_keeps_neither_an_offer_nor_the_end_waiting() -> None:
    hangs, hung = threading.Event(), threading.Event()

    class Hanging(FakeStore):
        def write_table(self, path: str, table: pa.Table) -> int:
            hung.set()
            hangs.wait(30)
            return super().write_table(path, table)

    scene = Scene(store=Hanging(), bounds=Bounds(rows=100, file_rows=1))
    scene.writer.start()
    scene.offer(0)
    assert hung.wait(10)
    since_s = time.monotonic()
    taken = [scene.offer(number) for number in range(1, 1_000)]
    assert time.monotonic() - since_s < 1
    assert taken.count(True) == 99
    scene.writer.close(within_s=0.1)
    assert "100 rows" in scene.said[-1]
    hangs.set()


def test_two_replicas_that_began_in_one_second_write_at_once_and_lose_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    writers = [
        HourlyWriter(
            store,
            "log",
            replica,
            lambda group, numbers: pa.table({"n": numbers}),
            every_s=60,
            bounds=Bounds(file_rows=50),
            clock=lambda: NOON_S,
        )
        for replica in ("r1", "r2")
    ]

    def offer(writer: HourlyWriter[int], first: int) -> None:
        for number in range(first, first + 1_000):
            assert writer.offer(number, group="", at_s=NOON_S, rows=1, size_bytes=10)

    threads = [threading.Thread(target=offer, args=(w, 1_000 * i)) for i, w in enumerate(writers + writers)]
    for each in (*writers, *threads):
        each.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()
    tables = [store.read_table(file.path) for file in store.files("log", recursive=True)]
    assert sorted(pa.concat_tables(tables)["n"].to_pylist()) == list(range(4_000))
