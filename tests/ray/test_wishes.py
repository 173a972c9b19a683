"""Wishes are granted where there is room, wait where there is none, and hold nothing when they are withdrawn."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pytest
import ray

from cluster.state import ClusterState
from cluster.wishes import Wishes

pytestmark = pytest.mark.usefixtures("ray_session")
_WITHIN_S = 30.0


def comes(is_so: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + _WITHIN_S
    while not is_so() and time.monotonic() < until_s:
        time.sleep(0.1)
    return is_so()


def test_wishes_are_granted_as_far_as_there_is_room_and_nobody_waits_for_them() -> None:
    cpus = ray.cluster_resources()["CPU"]
    wishes = Wishes(uuid.uuid4().hex[:8], {"CPU": 0.6 * cpus})
    try:
        wishes.ask_for(2)
        assert comes(lambda: wishes.granted() == 1)
        wishes.ask_for(2)
        assert wishes.granted() == 1
        assert {"CPU": 0.6 * cpus} not in ClusterState.now().waiting
    finally:
        wishes.ask_for(0)
    assert wishes.granted() == 0
    assert comes(lambda: sum(node.free.get("CPU", 0) for node in ClusterState.now().nodes) > 0.6 * cpus)
