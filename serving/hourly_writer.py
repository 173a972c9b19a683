"""The hourly writer: what requests leave behind becomes Parquet files by the hour, beside the requests.

It knows a store, hours and bounds, and not what the rows are. A thread of its own makes the tables and the files, so
that who offers something pays for a lock and an append. A store that is away is asked again every second; until it is
back rows are kept within the bounds, and then no more are taken, which is counted. What a process that is killed has
not yet written is lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

import pyarrow as pa

from raymill.errors import StoreError
from raymill.hourly import hour_at, hour_folder
from raymill.outage import Outages, reason_of
from raymill.store import Store

logger = logging.getLogger("ray.serve")
_TURN_S = 1.0
# Rows that become a table at a time, between which requests get the interpreter: a millisecond or two.
_ROWS_AT_ONCE = 512
_BREATH_S = 0.001
_MIB = 1024 * 1024
# What a column's own objects take, and the rounding up of its buffers: of a table with few rows, most.
_COLUMN_BYTES = 1_024
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a writer keeps at most, by the sizes that it is told and those of its tables, and what makes a file full.

    Beyond that come a kilobyte for each column of a file to be, and for the one that is being written its size again.
    """

    rows: int = 200_000
    size_bytes: int = 64 * _MIB
    file_rows: int = 50_000
    file_bytes: int = 16 * _MIB


@dataclass(slots=True)
class Counts:
    """What became of rows since the process began; `written_bytes` is the size of the files."""

    written_rows: int = 0
    written_bytes: int = 0
    dropped_rows: int = 0

    def copy(self) -> Counts:
        return replace(self)


class _Offered(NamedTuple, Generic[_T]):
    item: _T
    group: str
    at_s: float
    rows: int
    size_bytes: int


@dataclass(slots=True)
class _File:
    """A file to be: the tables of one hour and group."""

    hour: int
    began_s: float
    tables: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    size_bytes: int = 0

    def add(self, table: pa.Table) -> None:
        self.tables.append(table)
        self.rows += table.num_rows
        self.size_bytes += held_bytes(table)

    def compact(self) -> None:
        """Makes one table of them, since small ones hold mostly what is not their rows."""
        self.tables = [pa.concat_tables(self.tables).combine_chunks()]
        self.size_bytes = held_bytes(self.tables[0])

    def is_due(self, now_s: float, every_s: float, bounds: Bounds) -> bool:
        """Whether it is full, or old, or its hour is over; a clock that was set back makes it old too."""
        full = self.rows >= bounds.file_rows or self.size_bytes >= bounds.file_bytes
        return full or not 0 <= now_s - self.began_s < every_s or hour_at(now_s) != self.hour


class HourlyWriter(Generic[_T]):
    """Takes items from any thread and writes `FOLDER/date=.../hour=.../REPLICA-START-N.parquet`.

    `to_table` makes one table of the items of one hour and group; it is called by the writer's thread. `turn` is what
    that thread does each second.
    """

    def __init__(
        self,
        store: Store,
        folder: str,
        replica: str,
        to_table: Callable[[str, list[_T]], pa.Table],
        *,
        every_s: float,
        bounds: Bounds | None = None,
        clock: Callable[[], float] = time.time,
        say: Callable[[str], None] = logger.warning,
    ) -> None:
        self.counts = Counts()
        self._store, self._folder, self._to_table = store.at_once(), folder, to_table
        self._every_s, self._bounds, self._clock = every_s, bounds or Bounds(), clock
        self._stem = f"{replica}-{datetime.fromtimestamp(clock(), UTC):%Y%m%dT%H%M%SZ}"
        self._lock = threading.Lock()
        self._offered: deque[_Offered[_T]] = deque()
        self._held_rows = self._held_bytes = self._files = 0
        self._growing: dict[tuple[int, str], _File] = {}
        self._whole: deque[tuple[str, _File]] = deque()
        self._say, self._outages, self._has_failed = say, Outages(say), False
        self._takes, self._closing = True, threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"write-{folder.rpartition('/')[2]}", daemon=True)

    @property
    def held(self) -> tuple[int, int]:
        """How many rows wait to be written, and their bytes."""
        return self._held_rows, self._held_bytes

    def start(self) -> None:
        self._thread.start()

    def offer(self, item: _T, *, group: str, at_s: float, rows: int, size_bytes: int) -> bool:
        """Takes an item of that many rows and bytes; False, and they are counted, where that is more than may wait."""
        bounds = self._bounds
        with self._lock:
            held_rows, held_bytes = self._held_rows + rows, self._held_bytes + size_bytes
            if held_rows <= bounds.rows and held_bytes <= bounds.size_bytes and self._takes:
                self._held_rows, self._held_bytes = held_rows, held_bytes
                self._offered.append(_Offered(item, group, at_s, rows, size_bytes))
                return True
        self.drop(rows)
        return False

    def drop(self, rows: int) -> None:
        """Counts rows that are not written."""
        with self._lock:
            self.counts.dropped_rows += rows

    def turn(self, last: bool = False) -> None:
        """Makes tables of what was offered, and files of those that are due; the last time, of all."""
        self._gather()
        now_s = self._clock()
        for key, file in list(self._growing.items()):
            if last or file.is_due(now_s, self._every_s, self._bounds):
                del self._growing[key]
                self._finish(file)
        self._write()

    def close(self, within_s: float = 10.0) -> None:
        """Takes no more, writes what is there, once, and says what could not be written in so many seconds."""
        with self._lock:
            self._takes = False
        self._closing.set()
        if self._thread.ident is not None:  # or what was to use it has failed before it was started
            self._thread.join(within_s)
        if self._held_rows:
            self._say(f"{self._held_rows} rows for {self._store.uri}/{self._folder} were not written, and are lost")

    def _run(self) -> None:
        while not self._closing.wait(_TURN_S):
            self.turn()
        self.turn(last=True)

    def _gather(self) -> None:
        with self._lock:
            offered, self._offered = self._offered, deque()
        for hour, group, some in _batches(offered):
            self._tabulate(hour, group, some)
            time.sleep(_BREATH_S)

    def _tabulate(self, hour: int, group: str, some: list[_Offered[_T]]) -> None:
        """Adds a table of some items to their file; one that can't be in a table is found by halving, and dropped."""
        try:
            table = self._to_table(group, [each.item for each in some]).combine_chunks()
        except Exception:  # noqa: BLE001 (what is wrong with one item keeps no others from being written)
            if len(some) == 1:
                self._fail(some[0].rows, some[0].size_bytes)
                return
            middle = len(some) // 2
            self._tabulate(hour, group, some[:middle])
            self._tabulate(hour, group, some[middle:])
            return
        file = self._growing.setdefault((hour, group), _File(hour, self._clock()))
        before = file.size_bytes
        file.add(table)
        self._release(0, sum(each.size_bytes for each in some) - (file.size_bytes - before))

    def _finish(self, file: _File) -> None:
        """Gives a file its name, which it keeps however often it must be sent."""
        before = file.size_bytes
        file.compact()
        self._release(0, before - file.size_bytes)
        path = f"{self._folder}/{hour_folder(file.hour)}/{self._stem}-{self._files:06}.parquet"
        self._files += 1
        self._whole.append((path, file))

    def _write(self) -> None:
        while self._whole:
            (path, file), since_s = self._whole[0], time.monotonic()
            try:
                size_bytes = self._store.write_table(path, file.tables[0])
            except StoreError as error:
                reason = reason_of(error.__cause__) if isinstance(error.__cause__, OSError) else error.what
                self._outages.away(self._store.uri, since_s, reason, f"rows for {self._folder} are kept meanwhile")
                return
            except Exception:  # noqa: BLE001 (a file that can't be written keeps no others from it, nor ends the thread)
                self._whole.popleft()
                self._fail(file.rows, file.size_bytes)
                continue
            self._outages.back(self._store.uri)
            self._whole.popleft()
            self._release(file.rows, file.size_bytes)
            self.counts.written_rows += file.rows
            self.counts.written_bytes += size_bytes

    def _release(self, rows: int, size_bytes: int) -> None:
        with self._lock:
            self._held_rows -= rows
            self._held_bytes -= size_bytes

    def _fail(self, rows: int, size_bytes: int) -> None:
        """Drops rows by which something went wrong that isn't the store's; called where that is handled."""
        self._release(rows, size_bytes)
        self.drop(rows)
        if not self._has_failed:
            logger.exception("a row for %s could not be written; this is said once", self._folder)
        self._has_failed = True


def held_bytes(table: pa.Table) -> int:
    """The bytes that a table holds, also where it is a part of a larger one: a bound."""
    size_bytes: int = table.get_total_buffer_size() + _COLUMN_BYTES * table.num_columns
    return size_bytes


def _batches(offered: deque[_Offered[_T]]) -> Iterator[tuple[int, str, list[_Offered[_T]]]]:
    """The items of each hour and group, in their order, cut where there are rows enough; what is given is let go."""
    keyed: dict[tuple[int, str], deque[_Offered[_T]]] = {}
    while offered:
        first = offered.popleft()
        keyed.setdefault((hour_at(first.at_s), first.group), deque()).append(first)
    for (hour, group), items in keyed.items():
        while items:
            yield hour, group, _taken(items)


def _taken(items: deque[_Offered[_T]]) -> list[_Offered[_T]]:
    some, rows = [], 0
    while items and rows < _ROWS_AT_ONCE:
        some.append(items.popleft())
        rows += some[-1].rows
    return some
