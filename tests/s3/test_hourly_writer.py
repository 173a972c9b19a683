"""What requests leave behind reaches a bucket whose server goes away and comes back, and a dead one delays no end."""

from __future__ import annotations

import time
from itertools import count

import pyarrow as pa

from raymill.store import Store
from serving.hourly_writer import Bounds, HourlyWriter
from tests.s3.server import Server

_WITHIN_S = 60.0


def _writer(store: Store, said: list[str]) -> HourlyWriter[int]:
    return HourlyWriter(
        store,
        "log",
        "r1",
        lambda group, numbers: pa.table({"n": numbers}),
        every_s=60,
        bounds=Bounds(file_rows=5),
        say=said.append,
    )


def test_rows_wait_for_a_bucket_that_is_away_and_it_is_said_once(store: Store, server: Server) -> None:
    said: list[str] = []
    writer = _writer(store, said)
    writer.start()
    offered, until_s = count(), time.monotonic() + _WITHIN_S
    server.kill()
    while len(said) < 1 or writer.held[0] < 20:
        assert time.monotonic() < until_s
        assert writer.offer(next(offered), group="", at_s=time.time(), rows=1, size_bytes=10)
        time.sleep(0.05)
    server.start()
    while writer.held[0]:
        assert time.monotonic() < until_s + _WITHIN_S
        time.sleep(0.1)
    writer.close()
    told = [line.split()[2] for line in said]  # on a busy machine one that has just started may be away once more
    assert told == ["away", "back"] * (len(told) // 2)
    tables = [store.read_table(file.path) for file in store.files("log", recursive=True)]
    assert sorted(pa.concat_tables(tables)["n"].to_pylist()) == list(range(next(offered)))


def test_a_bucket_that_is_away_at_the_end_is_tried_once(store: Store, server: Server) -> None:
    said: list[str] = []
    writer = _writer(store, said)
    writer.start()
    server.kill()
    assert writer.offer(0, group="", at_s=time.time(), rows=1, size_bytes=10)
    writer.close(within_s=30)
    assert "is away" in said[0] and "1 rows" in said[1] and len(said) == 2
