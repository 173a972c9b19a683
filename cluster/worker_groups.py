"""Worker groups of a RayCluster: what a pod of each has for Ray, how many may come, and how many a job needs.

It decides from numbers that a manifest gives. Whose manifest that is is not its business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.capacity import Capacity, NodeType, Resources, counted
from cluster.crew import places
from cluster.preflight import Ask
from raymill.errors import ResourceError

CPU_GROUP, GPU_GROUP = "cpu", "gpu"
_SUFFIXES = {"m": 1e-3, "k": 1e3}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerGroup:
    """A group by name: the resources of one pod, and how many pods there may be at most."""

    name: str
    resources: Resources
    most: int

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> WorkerGroup:
        return cls(name=declared["groupName"], resources=resources_of(declared), most=int(declared["maxReplicas"]))

    def room_for(self, cpus: float, gpus: float) -> float:
        """How many processes with so much each a pod holds: infinitely many where they ask for nothing."""
        return places(self.resources, {"CPU": cpus, "GPU": gpus})

    def pods_for(self, cpus: float, gpus: float, count: int) -> int:
        """How many pods hold so many processes with so much each, at most as many as there may be."""
        room = self.room_for(cpus, gpus)
        return min(self.most, math.ceil(count / room)) if room else self.most


def resources_of(declared: Mapping[str, Any]) -> Resources:
    """What Ray counts in a pod of a group: what `ray start` is told, else the group's resources, else the limits."""
    told, named = declared.get("rayStartParams") or {}, declared.get("resources") or {}
    container = declared["template"]["spec"]["containers"][0].get("resources") or {}
    limits = (container.get("requests") or {}) | (container.get("limits") or {})
    gpus = next((amount for name, amount in limits.items() if name.endswith("/gpu")), 0)
    return {
        "CPU": math.ceil(_number(told.get("num-cpus", named.get("CPU", limits.get("cpu", 0))))),
        "GPU": _number(told.get("num-gpus", named.get("GPU", gpus))),
    }


def require_room(groups: Sequence[WorkerGroup], head: Resources, asks: Sequence[Ask], place: str) -> None:
    """Raises ResourceError where the pods that may come could never hold what is asked for."""
    for ask in asks:
        if ask.gpus and not any(group.resources["GPU"] for group in groups):
            raise ResourceError(
                f"One {ask.what} asks for {counted(ask.gpus, 'GPU')}, and {place} has no worker group {GPU_GROUP}, "
                f"only {'; '.join(map(_described, groups))}.",
                "Add the component k8s/components/gpu to the overlay, or ask for no GPU in the spec.",
            )
        types = [NodeType(name=group.name, resources=group.resources, most=group.most) for group in groups]
        Capacity(nodes=[head], types=types).require(ask.cpus, ask.gpus, ask.count, ask.what)


def _described(group: WorkerGroup) -> str:
    return f"{group.name} with {counted(group.resources['CPU'], 'CPU')} a pod, up to {counted(group.most, 'pod')}"


def _number(quantity: Any) -> float:
    """A quantity as Kubernetes writes it: 4, "4", "500m"."""
    text = str(quantity)
    factor = _SUFFIXES.get(text[-1])
    return float(text) if factor is None else float(text[:-1]) * factor
