"""A node that has to go says so, ends its drivers, and waits for both, but never longer than it may."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cluster.leaving import RayHead, drivers_of, leave

POD = "raymill-worker-cpu-x7k2p"


@dataclass
class FakeHead:
    """A head that lets go of a node after so many questions."""

    asks: int
    drains: bool = True
    announced: list[tuple[str, float]] = field(default_factory=list)

    def announce(self, pod: str, within_s: float) -> bool:
        self.announced.append((pod, within_s))
        return self.drains

    def knows(self, pod: str) -> bool:
        self.asks -= 1
        return self.asks >= 0


@dataclass
class FakeDriver:
    """A driver that takes so many looks to end once it is asked to."""

    looks: int
    asked: bool = False

    def terminate(self) -> None:
        self.asked = True

    def is_running(self) -> bool:
        self.looks -= 1
        return not self.asked or self.looks >= 0


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.now_s += seconds


def left(head: FakeHead, drivers: list[FakeDriver], within_s: float = 100.0) -> float:
    """How long leaving took."""
    clock = Clock()
    leave(POD, head, drivers, within_s, clock, clock.pause)
    return clock.now_s


def test_it_announces_the_node_and_waits_until_the_head_has_let_it_go() -> None:
    head = FakeHead(asks=6)
    assert left(head, []) == 3.0
    assert head.announced == [(POD, 100.0)]


def test_it_ends_every_driver_and_waits_for_their_checkpoints() -> None:
    drivers = [FakeDriver(looks=4), FakeDriver(looks=0)]
    assert left(FakeHead(asks=0), drivers) == 2.0
    assert all(driver.asked for driver in drivers)


def test_a_head_that_can_not_be_drained_waits_for_its_drivers_alone() -> None:
    assert left(FakeHead(asks=1000, drains=False), [FakeDriver(looks=2)]) == 1.0


def test_it_never_waits_longer_than_it_may() -> None:
    assert left(FakeHead(asks=1000), [FakeDriver(looks=1000)], within_s=20.0) == 20.0


def node(pod: str, *, alive: bool = True, is_head: bool = False) -> SimpleNamespace:
    return SimpleNamespace(instance_id=pod, state=0 if alive else 1, is_head_node=is_head)


class FakeGcs:
    def __init__(self, nodes: dict[bytes, SimpleNamespace], error: Exception | None = None) -> None:
        self.nodes, self.error = nodes, error
        self.drained: list[tuple[Any, ...]] = []

    def get_all_node_info(self, timeout: float) -> dict[bytes, SimpleNamespace]:
        if self.error is not None:
            raise self.error
        return self.nodes

    def drain_node(self, *words: Any) -> tuple[bool, str]:
        self.drained.append(words)
        return True, ""


def test_the_node_of_the_pod_is_drained_as_one_that_is_taken_away() -> None:
    from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION

    gcs = FakeGcs({b"\x01": node("another"), b"\x02": node(POD, alive=False), b"\x03": node(POD)})
    assert RayHead("head:6379", lambda _: gcs).announce(POD, 100.0)
    ((node_id, reason, message, by_ms),) = gcs.drained
    assert (node_id, reason) == ("03", DRAIN_NODE_REASON_PREEMPTION)
    assert POD in message
    assert by_ms > 1000 * 100


@pytest.mark.parametrize("nodes", [{}, {b"\x01": node(POD, is_head=True)}, {b"\x01": node(POD, alive=False)}])
def test_a_head_and_a_node_that_is_gone_are_not_drained(nodes: dict[bytes, SimpleNamespace]) -> None:
    gcs = FakeGcs(nodes)
    assert not RayHead("head:6379", lambda _: gcs).announce(POD, 100.0)
    assert not RayHead("head:6379", lambda _: gcs).knows(POD)
    assert not gcs.drained


def test_a_head_that_does_not_answer_keeps_nobody_waiting() -> None:
    from ray.exceptions import RpcError

    gcs = FakeGcs({}, RpcError("unavailable"))
    assert not RayHead("head:6379", lambda _: gcs).announce(POD, 100.0)
    assert not RayHead("head:6379", lambda _: gcs).knows(POD)


def test_a_head_that_can_not_be_reached_keeps_nobody_waiting() -> None:
    def refuse(address: str) -> Any:
        raise RuntimeError(f"Failed to connect to {address}")

    assert not RayHead("head:6379", refuse).announce(POD, 100.0)


def test_drivers_are_the_processes_of_this_pod_that_run_a_job() -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", "input()", "-m", module], stdin=subprocess.PIPE, env=os.environ | pod)
        for module, pod in (
            ("jobs.train", {"RAY_CLOUD_INSTANCE_ID": POD}),
            ("jobs.train", {"RAY_CLOUD_INSTANCE_ID": "another"}),
            ("pip", {"RAY_CLOUD_INSTANCE_ID": POD}),
        )
    ]
    try:
        assert [process.pid for process in drivers_of(POD)] == [started[0].pid]
    finally:
        for each in started:
            each.kill()
            each.wait()


def test_no_hook_takes_longer_than_the_grace_of_its_pod() -> None:
    k8s = Path(__file__).parents[2] / "k8s"
    cluster = yaml.safe_load((k8s / "base" / "raycluster.yaml").read_text(encoding="utf-8"))["spec"]
    added = yaml.safe_load((k8s / "components" / "gpu" / "group.yaml").read_text(encoding="utf-8"))[0]["value"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"], added):
        pod = group["template"]["spec"]
        hook = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert hook[:3] == ["python", "-m", "cluster.leaving"]
        assert float(hook[3]) < pod["terminationGracePeriodSeconds"]
