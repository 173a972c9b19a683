"""Leaving: what the node of a pod does before the pod goes. Its preStop hook runs `python -m cluster.leaving SECONDS`.

At SIGTERM, which comes when the hook has ended, Ray ends with all that runs on it. So before that

    drivers here        get SIGTERM: a training writes a checkpoint, and its record says that it was stopped
    the head            gets Ray's notice that the node will be taken away: ranks and replicas move to other nodes

and the hook waits until both are gone, or for SECONDS. A head is not drained: it waits for its drivers alone.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import psutil

_POD = "RAY_CLOUD_INSTANCE_ID"  # the pod's name, from KubeRay; Ray hands it on to all that it starts
_ANSWERS_WITHIN_S = 10.0
_POLL_S = 0.5


class Head(Protocol):
    """What a node may ask of the head of its cluster."""

    def announce(self, pod: str, within_s: float) -> bool:
        """Says that the pod's node goes; False where it may not be drained, or is gone already."""

    def knows(self, pod: str) -> bool:
        """Whether the pod's node is still part of the cluster."""


class Driver(Protocol):
    """The process of a job's command."""

    def terminate(self) -> None: ...

    def is_running(self) -> bool: ...


def leave(
    pod: str,
    head: Head,
    drivers: Sequence[Driver],
    within_s: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Ends the drivers, announces the node's end, and returns when both have come or the time is over."""
    until_s = clock() + within_s
    for driver in drivers:
        driver.terminate()
    drained = head.announce(pod, within_s)
    while clock() < until_s and (any(each.is_running() for each in drivers) or (drained and head.knows(pod))):
        pause(_POLL_S)


class RayHead:
    """The head at an address, asked by Ray's own client. One that doesn't answer drains nobody and knows nobody."""

    def __init__(self, address: str, connect: Callable[[str], Any] | None = None) -> None:
        self._address, self._connect = address, connect or _connected

    def announce(self, pod: str, within_s: float) -> bool:
        from ray.core.generated.autoscaler_pb2 import DrainNodeReason

        why = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"), f"The pod {pod} is deleted."
        by_ms = int((time.time() + within_s) * 1000)

        def announced() -> bool:
            return any(self._client.drain_node(node_id, *why, by_ms)[0] for node_id in self._nodes(pod))

        return _answer(announced)

    def knows(self, pod: str) -> bool:
        return _answer(lambda: bool(self._nodes(pod)))

    @functools.cached_property
    def _client(self) -> Any:
        return self._connect(self._address)

    def _nodes(self, pod: str) -> list[str]:
        """The ids of the pod's living nodes, but for a head: one, or none."""
        from ray.core.generated.gcs_pb2 import GcsNodeInfo

        found = self._client.get_all_node_info(timeout=_ANSWERS_WITHIN_S)
        return [
            node_id.hex()
            for node_id, node in found.items()
            if node.instance_id == pod and node.state == GcsNodeInfo.ALIVE and not node.is_head_node
        ]


def _answer(ask: Callable[[], bool]) -> bool:
    """What the head answers; no, where it doesn't."""
    from ray.exceptions import RayError

    try:
        return ask()
    except (RayError, RuntimeError):  # the second, where not even a connection is made
        return False


def _connected(address: str) -> Any:
    from ray._raylet import GcsClient

    return GcsClient(address=address)


def drivers_of(pod: str) -> list[psutil.Process]:
    """The processes in a pod that run a job of ours."""
    return [process for process in psutil.process_iter() if _runs_a_job(process) and _is_in(process, pod)]


def _runs_a_job(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return any(option == "-m" and name.startswith("jobs.") for option, name in itertools.pairwise(words))


def _is_in(process: psutil.Process, pod: str) -> bool:
    try:
        return process.environ().get(_POD) == pod
    except psutil.Error:
        return False


def main() -> None:
    pod = os.environ[_POD]
    leave(pod, RayHead(os.environ["RAY_ADDRESS"]), drivers_of(pod), float(sys.argv[1]))


if __name__ == "__main__":
    main()
