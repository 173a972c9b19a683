"""Leaving: what a node does before its pod goes. The pod's preStop hook runs `python -m cluster.leaving ROLE SECONDS`.

At SIGTERM, which comes when the hook has ended, Ray ends with all that runs on it. So before that

    a head      asks its jobs to end, as `ray job stop` does: a training writes a checkpoint, and its record says so
    a worker    is announced to the head as a node that will be taken away: ranks and replicas move to others

and the hook waits until that is done, or for SECONDS. Jobs are asked by Ray and not by a signal of ours, since Ray asks
each one once: whoever deletes a RayJob has asked already, and a second SIGTERM costs a job its checkpoint.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.jobs_api import JobsApi
from raymill.errors import MachineError, ResourceError

_DASHBOARD = "http://127.0.0.1:8265"
_POD = "RAY_CLOUD_INSTANCE_ID"  # its name, from KubeRay
_ANSWERS_WITHIN_S = 10.0
_POLL_S = 0.5


class Guest(Protocol):
    """What lives on a node and needs time to leave it."""

    def ask(self, within_s: float) -> None:
        """Asks it to go."""

    def is_there(self) -> bool:
        """Whether it still is there, as far as anybody knows."""


def leave(
    guest: Guest,
    within_s: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Asks and waits, but for no longer than it may."""
    until_s = clock() + within_s
    guest.ask(within_s)
    while clock() < until_s and guest.is_there():
        pause(_POLL_S)


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs whose drivers are on this head. A dashboard that doesn't answer has none."""

    api: JobsApi

    def ask(self, within_s: float) -> None:
        for id in self._running():
            _answered(functools.partial(self.api.stop, id))

    def is_there(self) -> bool:
        return bool(self._running())

    def _running(self) -> list[str]:
        jobs = _answered(self.api.jobs) or []
        return [job.id for job in jobs if not job.has_ended]


class Node:
    """The node of this pod, as the head of its cluster knows it. A head that doesn't answer knows no node."""

    def __init__(self, pod: str, address: str, connect: Callable[[str], Any] | None = None) -> None:
        self._pod, self._address, self._connect = pod, address, connect or _connected

    def ask(self, within_s: float) -> None:
        from ray.core.generated.autoscaler_pb2 import DrainNodeReason

        why = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"), f"The pod {self._pod} is deleted."
        by_ms = int((time.time() + within_s) * 1000)
        for id in self._ids():
            _answered(functools.partial(self._client.drain_node, id, *why, by_ms))

    def is_there(self) -> bool:
        return bool(self._ids())

    @functools.cached_property
    def _client(self) -> Any:
        return self._connect(self._address)

    def _ids(self) -> list[str]:
        """The pod's living nodes: one, or none."""
        from ray.core.generated.gcs_pb2 import GcsNodeInfo

        found = _answered(lambda: self._client.get_all_node_info(timeout=_ANSWERS_WITHIN_S)) or {}
        return [
            id.hex() for id, node in found.items() if node.instance_id == self._pod and node.state == GcsNodeInfo.ALIVE
        ]


def _answered(ask: Callable[[], Any]) -> Any:
    """What an answer is, or None where there is none: there is nobody to tell, and the pod goes anyway."""
    from ray.exceptions import RayError

    try:
        return ask()
    except (RayError, RuntimeError, MachineError, ResourceError):
        return None


def _connected(address: str) -> Any:
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    return GcsClient(address=address)


def main() -> None:
    role, within_s = sys.argv[1], float(sys.argv[2])
    guests: dict[str, Callable[[], Guest]] = {
        "head": lambda: Jobs(JobsApi(_DASHBOARD, patience_s=_ANSWERS_WITHIN_S)),
        "worker": lambda: Node(os.environ[_POD], os.environ["RAY_ADDRESS"]),
    }
    leave(guests[role](), within_s)


if __name__ == "__main__":
    main()
