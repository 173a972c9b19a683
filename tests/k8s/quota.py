"""Quota: what stands fits into the namespace's quota and its limits, so that admission refuses no pod of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.k8s.builds import Build, Object, label
from tests.k8s.pods import STANDING, WORKER, Pod, pods, ray_specs
from tests.k8s.quantities import number

# KubeRay's init container in each worker, which waits for the head.
_WAITS = {"limits": {"cpu": "200m", "memory": "256Mi"}, "requests": {"cpu": "200m", "memory": "256Mi"}}


def over_quota(build: Build) -> list[str]:
    """What has to stand at once, where a quota gives less, or containers that a quota's own demands refuse."""
    problems = []
    for each in (each for each in build.there if each["kind"] == "ResourceQuota"):
        for name, bound in each["spec"]["hard"].items():
            kind, _, resource = str(name).partition(".")
            if kind not in ("requests", "limits"):
                continue
            used = sum(asked(pod, kind, resource) * count(pod) for pod in pods(build.there))
            if used > number(bound):
                problems.append(f"{label(each)}: at once {kind} of {resource} are {used:g}, over {bound}")
            problems += [f"{label(each)}: {said}" for said in _unsaid(build, kind, resource)]
    return problems


def out_of_range(build: Build) -> list[str]:
    """Containers that a LimitRange refuses: ours, and the one that KubeRay adds to each worker."""
    problems = []
    for each in (each for each in build.there if each["kind"] == "LimitRange"):
        for limit in (limit for limit in each["spec"]["limits"] if limit["type"] == "Container"):
            for pod in pods(build.objects):
                for container in _with_added(pod):
                    said = _outside(limit, container.get("resources") or {})
                    problems += [f"{pod.named(container)}: {label(each)} refuses its {word}" for word in said]
    return problems


def _unsaid(build: Build, kind: str, resource: str) -> Iterator[str]:
    """Under a quota for a resource, a container that doesn't say how much it needs, and gets no default, is refused."""
    if resource in ("cpu", "memory", "ephemeral-storage") and resource not in _defaults(build, kind):
        for pod in pods(build.objects):
            for container in _with_added(pod):
                have = container.get("resources") or {}
                said = (
                    {**(have.get("limits") or {}), **(have.get("requests") or {})}
                    if kind == "requests"
                    else have.get(kind)
                )
                if resource not in (said or {}):
                    yield f"{pod.named(container)} has no {kind} of {resource}, which the quota demands"


def _defaults(build: Build, kind: str) -> set[str]:
    """What a LimitRange writes into containers that don't say it."""
    ranges = [limit for each in build.there if each["kind"] == "LimitRange" for limit in each["spec"]["limits"]]
    words = ("default", "defaultRequest") if kind == "requests" else ("default",)
    return {
        name for limit in ranges if limit["type"] == "Container" for word in words for name in limit.get(word) or ()
    }


def _with_added(pod: Pod) -> list[dict[str, Any]]:
    """The containers of a pod, and the one that KubeRay adds to workers."""
    return [*pod.containers, *([{"name": "wait-gcs-ready", "resources": _WAITS}] if pod.role == "worker" else [])]


def asked(pod: Pod, kind: str, resource: str) -> float:
    """What the containers of a pod request of a resource, or are limited to."""
    return sum(number((((c.get("resources") or {}).get(kind)) or {}).get(resource, 0)) for c in pod.main)


def count(pod: Pod) -> int:
    """How many pods of a template there are at least, once there is something to do."""
    if pod.role == STANDING:
        return int((pod.owner.get("spec") or {}).get("replicas", 1))
    if pod.role != WORKER:
        return 1
    [group] = [g for _, s in ray_specs([pod.owner]) for g in s["workerGroupSpecs"] if g["template"]["spec"] is pod.spec]
    if least := int(group.get("minReplicas", 0)):
        return least
    return 0 if _asks_for_gpus(pod) else 1


def _asks_for_gpus(pod: Pod) -> bool:
    return any(name.endswith("/gpu") for c in pod.main for name in (c.get("resources") or {}).get("requests") or ())


def _outside(limit: dict[str, Any], resources: Object) -> Iterator[str]:
    for word, kind, fits in (("min", "requests", float.__ge__), ("max", "limits", float.__le__)):
        for resource, bound in (limit.get(word) or {}).items():
            said = (resources.get(kind) or {}).get(resource)
            if said is not None and not fits(number(said), number(bound)):
                yield f"{resource} of {said}"
