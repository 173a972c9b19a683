"""A node that has to go asks what lives on it to leave first, and waits for that, but never longer than it may."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cluster.jobs_api import Job
from cluster.leaving import Jobs, Node, leave
from raymill.errors import ResourceError

POD = "raymill-worker-cpu-x7k2p"
HEAD = "raymill-head-svc:6379"


@dataclass
class FakeGuest:
    """What has left after so many looks."""

    looks: int
    asked: list[float] = field(default_factory=list)

    def ask(self, within_s: float) -> None:
        self.asked.append(within_s)

    def is_there(self) -> bool:
        self.looks -= 1
        return self.looks >= 0


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.now_s += seconds


def left(guest: FakeGuest, within_s: float = 100.0) -> float:
    """How long leaving took."""
    clock = Clock()
    leave(guest, within_s, clock, clock.pause)
    return clock.now_s


def test_it_asks_once_and_waits_until_nobody_is_there() -> None:
    guest = FakeGuest(looks=6)
    assert left(guest) == 3.0
    assert guest.asked == [100.0]


def test_it_does_not_wait_where_nobody_is() -> None:
    assert left(FakeGuest(looks=0)) == 0.0


def test_it_never_waits_longer_than_it_may() -> None:
    assert left(FakeGuest(looks=1000), within_s=20.0) == 20.0


JOB = Job(id="a", status="RUNNING", message="", exit_code=None, started_s=1.0, ended_s=None, metadata={})


class FakeApi:
    def __init__(self, jobs: list[Job], error: Exception | None = None) -> None:
        self.known, self.error = jobs, error
        self.stopped: list[str] = []

    def jobs(self) -> list[Job]:
        if self.error is not None:
            raise self.error
        return self.known

    def stop(self, id: str) -> None:
        self.stopped.append(id)


def test_a_head_asks_every_job_that_has_not_ended() -> None:
    api: Any = FakeApi([JOB, replace(JOB, id="b", status="SUCCEEDED"), replace(JOB, id="c", status="PENDING")])
    jobs = Jobs(api)
    assert jobs.is_there()
    jobs.ask(100.0)
    assert api.stopped == ["a", "c"]


def test_a_dashboard_that_does_not_answer_has_no_jobs() -> None:
    api: Any = FakeApi([JOB], ResourceError("Nobody answers.", "Look."))
    Jobs(api).ask(100.0)
    assert not Jobs(api).is_there()


def node(pod: str, *, alive: bool = True) -> SimpleNamespace:
    return SimpleNamespace(instance_id=pod, state=0 if alive else 1)


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


def node_of(gcs: FakeGcs) -> Node:
    return Node(POD, HEAD, lambda _: gcs)


def test_the_node_of_the_pod_is_drained_as_one_that_is_taken_away() -> None:
    from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION

    gcs = FakeGcs({b"\x01": node("another"), b"\x02": node(POD, alive=False), b"\x03": node(POD)})
    assert node_of(gcs).is_there()
    node_of(gcs).ask(100.0)
    ((node_id, reason, message, by_ms),) = gcs.drained
    assert (node_id, reason) == ("03", DRAIN_NODE_REASON_PREEMPTION)
    assert POD in message
    assert by_ms > 1000 * 100


@pytest.mark.parametrize("nodes", [{}, {b"\x01": node("another")}, {b"\x01": node(POD, alive=False)}])
def test_a_node_that_is_gone_is_not_drained(nodes: dict[bytes, SimpleNamespace]) -> None:
    gcs = FakeGcs(nodes)
    node_of(gcs).ask(100.0)
    assert not node_of(gcs).is_there()
    assert not gcs.drained


def test_a_head_that_does_not_answer_or_can_not_be_reached_keeps_nobody_waiting() -> None:
    from ray.exceptions import RpcError

    def refuse(address: str) -> Any:
        raise RuntimeError(f"Failed to connect to {address}")

    for gone in (node_of(FakeGcs({}, RpcError("unavailable"))), Node(POD, HEAD, refuse)):
        gone.ask(100.0)
        assert not gone.is_there()


def test_each_hook_names_its_role_and_takes_no_longer_than_the_grace_of_its_pod() -> None:
    k8s = Path(__file__).parents[2] / "k8s"
    cluster = yaml.safe_load((k8s / "base" / "raycluster.yaml").read_text(encoding="utf-8"))["spec"]
    added = yaml.safe_load((k8s / "components" / "gpu" / "group.yaml").read_text(encoding="utf-8"))[0]["value"]
    for role, group in (
        ("head", cluster["headGroupSpec"]),
        *(("worker", each) for each in (*cluster["workerGroupSpecs"], added)),
    ):
        pod = group["template"]["spec"]
        hook = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert hook[:4] == ["python", "-m", "cluster.leaving", role]
        assert float(hook[4]) < pod["terminationGracePeriodSeconds"]
