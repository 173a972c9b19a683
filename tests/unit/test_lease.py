"""A lease: one holder at a time, and nobody waits for the dead."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from raymill.errors import ResourceError
from raymill.lease import ENDS_AFTER_S, lease
from raymill.store import Store


def _written(store: Store, **changed: object) -> None:
    holder = {"id": "other", "host": socket.gethostname(), "pid": os.getppid(), "at": 1000.0}
    store.write_json("lease.json", holder | changed)


def test_a_second_holder_is_refused_by_name_and_a_third_comes_after(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with (
        lease(store, "lease.json", "The run x"),
        pytest.raises(ResourceError, match=f"The run x .* process {os.getpid()}"),
        lease(store, "lease.json", "The run x"),
    ):
        pass
    with lease(store, "lease.json", "The run x"):
        assert store.exists("lease.json")
    assert not store.exists("lease.json")


def test_a_dead_process_of_this_machine_holds_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    _written(store, pid=dead.pid)
    with lease(store, "lease.json", "x"):
        pass


def test_a_living_process_of_this_machine_holds_however_old_its_lease_is(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    _written(store, at=0.0)
    with pytest.raises(ResourceError), lease(store, "lease.json", "x"):
        pass


@pytest.mark.parametrize(("age_s", "free"), [(ENDS_AFTER_S - 1, False), (ENDS_AFTER_S + 1, True)])
def test_another_machines_lease_ends_when_it_is_not_renewed(tmp_path: Path, age_s: float, free: bool) -> None:
    store = Store(str(tmp_path))
    _written(store, host="elsewhere", at=1000.0)
    if free:
        with lease(store, "lease.json", "x", clock=lambda: 1000.0 + age_s):
            pass
    else:
        with pytest.raises(ResourceError, match="elsewhere"), lease(store, "lease.json", "x", lambda: 1000.0 + age_s):
            pass


def test_a_container_that_starts_again_is_not_held_up_by_its_predecessor_with_the_same_pid(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    _written(store, pid=os.getpid())
    with lease(store, "lease.json", "x"):
        pass


def test_a_lease_that_another_has_by_now_is_left_to_it(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with lease(store, "lease.json", "x"):
        _written(store, host="elsewhere")
    assert store.read_json("lease.json")["host"] == "elsewhere"
