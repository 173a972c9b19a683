"""A bucket whose server goes away: what is going on is waited for and nothing is lost; what begins is told at once."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from raymill.errors import StoreError
from raymill.store import Store
from tests.s3.server import Server

AWAY_S = 3.0
_OBJECT_BYTES = 200_000


class Traffic:
    """Writes objects and reads them back, and their listing and a long stream, in threads until it is told to end."""

    def __init__(self, store: Store) -> None:
        self.store, self.written = store, {}
        self._ending = threading.Event()
        store.write_bytes("long", self._long())

    def __enter__(self) -> Traffic:
        self._pool = ThreadPoolExecutor(4)
        self._work = [self._pool.submit(each) for each in (self._write, self._write, self._list, self._stream)]
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for work in self._work:
            work.result()
        self._pool.shutdown()

    def _write(self) -> None:
        while not self._ending.is_set():
            name, data = f"o/{threading.get_ident()}-{len(self.written):05d}", os.urandom(_OBJECT_BYTES)
            self.store.write_bytes(name, data)
            self.written[name] = data
            assert self.store.read_bytes(name) == data

    def _list(self) -> None:
        while not self._ending.is_set():
            before = set(self.written)
            assert before <= {file.path for file in self.store.files("o")}
            self.store.write_bytes("gone", b"1")
            self.store.delete("gone")
            assert self.store.stat("gone") is None

    def _stream(self) -> None:
        while not self._ending.is_set():
            with self.store.reading("long") as stream:
                assert b"".join(iter(lambda: stream.read(64_000), b"")) == self._long()

    @staticmethod
    def _long() -> bytes:
        return bytes(range(256)) * 8_000


def outages_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.name == "raymill.store"]
    return [line.split()[2] for line in said]


def test_nothing_is_lost_when_the_server_is_stopped_for_a_while(store: Store, server: Server) -> None:
    with Traffic(store) as traffic:
        time.sleep(0.5)
        server.signal(signal.SIGSTOP)
        time.sleep(AWAY_S)
        server.signal(signal.SIGCONT)
        time.sleep(0.5)
    assert {name: store.read_bytes(name) for name in traffic.written} == traffic.written


def test_nothing_is_lost_when_the_server_is_killed_and_started_again(
    store: Store, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), Traffic(store) as traffic:
        time.sleep(0.5)
        server.kill()
        time.sleep(AWAY_S)
        server.start()
        time.sleep(0.5)
    assert {name: store.read_bytes(name) for name in traffic.written} == traffic.written
    said = outages_in(caplog)  # on a busy machine one that has just started may be away once more
    assert said and said == ["away", "back"] * (len(said) // 2)


def test_a_write_that_a_kill_cuts_off_is_whole_or_absent(store: Store, server: Server) -> None:
    data = os.urandom(48 << 20)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.at_once().write_bytes, "big", data)
        time.sleep(0.05)
        server.kill()
        error = writing.exception()
    server.start()
    assert isinstance(error, StoreError | None)
    assert not store.exists("big") or store.read_bytes("big") == data


def test_a_server_that_stays_away_is_waited_for_so_long_and_that_is_said(store: Store, server: Server) -> None:
    server.kill()
    with pytest.raises(StoreError, match=rf"Could not read {store.uri}/a: it has been away for \d s"):
        Store(store.uri, waits_s=2.0).read_bytes("a")
    with pytest.raises(StoreError, match=rf"Could not list {store.uri}/a: it has been away for \d s"):
        Store(store.uri, waits_s=2.0).files("a")


def test_a_check_says_within_ten_seconds_that_nobody_answers(store: Store, server: Server) -> None:
    server.signal(signal.SIGSTOP)
    try:
        started_s = time.monotonic()
        with pytest.raises(StoreError, match=f"the S3 service at {server.endpoint} doesn't answer"):
            store.check()
        assert time.monotonic() - started_s < 10
    finally:
        server.signal(signal.SIGCONT)
    server.kill()
    with pytest.raises(StoreError, match="doesn't answer"):
        store.check()
