"""A lease: one holder at a time, nobody waits for the dead, and who was overtaken finds it out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest

from raymill.errors import ResourceError
from raymill.job_record import JOB_ID
from raymill.lease import ENDS_AFTER_S, Lease, lease, patient
from raymill.process import Process
from raymill.store import Store

_SAYS_WHO_IT_IS = (
    "from dataclasses import asdict; from raymill.process import Process; import json;"
    "print(json.dumps(asdict(Process.this())), flush=True); input()"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """Another process, which lives until it is killed."""
    command = [sys.executable, "-c", _SAYS_WHO_IT_IS]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


def _said(child: subprocess.Popen[str]) -> dict[str, object]:
    assert child.stdout is not None
    said: dict[str, object] = json.loads(child.stdout.readline())
    return said


def _written(store: Store, **changed: object) -> None:
    holder = {"id": "other", "host": "a-host", "at": 1000.0} | asdict(Process.this())
    store.write_json("lease.json", holder | changed)


def test_a_second_holder_is_refused_by_name_and_a_third_comes_after(store: Store) -> None:
    with (
        lease(store, "lease.json", "The run x"),
        pytest.raises(ResourceError, match=f"The run x .* process {os.getpid()}"),
        lease(store, "lease.json", "The run x"),
    ):
        pass
    with lease(store, "lease.json", "The run x"):
        assert store.exists("lease.json")
    assert not store.exists("lease.json")


def test_of_many_that_take_it_in_one_moment_one_holds_it(store: Store) -> None:
    for left in (None, {"space": "elsewhere", "at": 0.0}):
        if left is not None:
            _written(store, **left)
        held, start = list[Lease](), threading.Barrier(8)

        def take(held: list[Lease] = held, start: threading.Barrier = start) -> None:
            mine = Lease(store, "lease.json", "x", lambda: 1000.0)
            start.wait()
            if mine.take() is None:
                held.append(mine)

        with ThreadPoolExecutor(8) as pool:
            for taking in [pool.submit(take) for _ in range(8)]:
                taking.result()
        (holder,) = held
        holder.give_back()


def test_who_has_seen_it_free_and_comes_late_takes_nothing(store: Store) -> None:
    class Slow(Store):
        """Another process takes the lease between this one's look and its write."""

        def swap(self, path: str, found: bytes | None, data: bytes | None) -> bool:
            _written(Store(self.uri), space="elsewhere")
            return super().swap(path, found, data)

    with (
        pytest.raises(ResourceError, match=r"process \d+ on a-host"),
        lease(Slow(store.uri), "lease.json", "x", lambda: 1000.0),
    ):
        pass


def test_who_would_rather_wait_holds_it_when_the_other_has_given_it_back(store: Store) -> None:
    busy, now_s = list[str](), [1000.0]

    def wait(error: ResourceError) -> None:
        busy.append(error.what)
        now_s[0] = 2000.0
        first.close()

    first = ExitStack()
    first.enter_context(lease(store, "lease.json", "x"))
    with lease(store, "lease.json", "x", lambda: now_s[0], when_busy=wait):
        assert store.read_json("lease.json")["at"] == 2000.0
        assert busy == [f"x is being worked on by process {os.getpid()} on {socket.gethostname()}."]


def test_a_job_on_a_cluster_is_named_by_its_id(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JOB_ID, "t-train-20261122-120000-abcd")
    with lease(store, "lease.json", "x"), pytest.raises(ResourceError) as caught, lease(store, "lease.json", "x"):
        pass
    assert caught.value.what == "x is being worked on by the job t-train-20261122-120000-abcd."
    assert "raymill logs -f SPEC --job t-train-20261122-120000-abcd" in caught.value.fix


def test_a_dead_process_holds_nothing(store: Store, child: subprocess.Popen[str]) -> None:
    _written(store, **_said(child))
    child.kill()
    child.wait()
    with lease(store, "lease.json", "x", lambda: 1000.0):
        pass


def test_a_process_that_has_the_number_of_the_one_that_died_holds_nothing(
    store: Store, child: subprocess.Popen[str]
) -> None:
    _written(store, **_said(child) | {"born": 1})
    with lease(store, "lease.json", "x", lambda: 1000.0):
        pass


def test_a_living_process_holds_however_old_its_lease_is(store: Store, child: subprocess.Popen[str]) -> None:
    _written(store, **_said(child), at=0.0)
    with pytest.raises(ResourceError, match=r"process \d+ on a-host"), lease(store, "lease.json", "x"):
        pass


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1])
@pytest.mark.parametrize(("age_s", "free"), [(ENDS_AFTER_S - 1, False), (ENDS_AFTER_S + 1, True)])
def test_the_lease_of_another_machine_or_container_ends_when_it_is_not_renewed(
    store: Store, age_s: float, free: bool, pid: int
) -> None:
    _written(store, space="another boot pid:[1]", pid=pid, at=1000.0)
    if free:
        with lease(store, "lease.json", "x", clock=lambda: 1000.0 + age_s):
            pass
    else:
        with pytest.raises(ResourceError, match="a-host"), lease(store, "lease.json", "x", lambda: 1000.0 + age_s):
            pass


def test_what_this_process_could_not_give_back_is_free(store: Store) -> None:
    _written(store)
    with lease(store, "lease.json", "x", lambda: 1000.0):
        pass


def test_a_holder_that_was_overtaken_is_told_and_leaves_it_to_the_other(store: Store) -> None:
    told = list[int]()
    with (
        pytest.raises(ResourceError, match="The run x was taken over by process 7 on a-host"),
        lease(store, "lease.json", "The run x") as held,
        held.telling(lambda: told.append(1)),
    ):
        held.renew()
        held.require()
        assert told == []
        _written(store, space="elsewhere", pid=7)
        held.renew()
        assert held.is_lost and told == [1]
    assert store.read_json("lease.json")["pid"] == 7


def test_a_holder_whose_lease_was_taken_over_and_given_back_does_not_take_it_again(store: Store) -> None:
    with (
        pytest.raises(ResourceError, match="was taken over by one that has ended since"),
        lease(store, "lease.json", "x") as held,
    ):
        store.delete("lease.json")
        held.renew()
    assert not store.exists("lease.json")


def test_who_is_patient_waits_for_the_holder_and_says_once_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raymill.lease._LOOK_EVERY_S", 0.01)
    store, said, order = Store(str(tmp_path)), list[str](), list[str]()

    def second() -> None:
        with lease(store, "lease.json", "The champion of x", when_busy=patient(said.append)):
            order.append("second")

    with lease(store, "lease.json", "The champion of x"):
        thread = threading.Thread(target=second)
        thread.start()
        while not said:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert len(said) == 1 and said[0].startswith("The champion of x is being worked on by process ")
