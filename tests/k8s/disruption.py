"""Disruption: what a node's drain waits for, as Kubernetes' disruption controller works it out.

Source: `pkg/controller/disruption/disruption.go`. KubeRay's kinds have no scale subresource, so that a share, or a
`maxUnavailable`, is an error there and allows no eviction at all; a pod of two budgets can't be evicted either.
"""

from __future__ import annotations

from typing import Any

from tests.k8s.builds import Build, Object, label
from tests.k8s.network import selects
from tests.k8s.pods import HEAD, WORKER, Pod, pods
from tests.k8s.quantities import number


def unkept(build: Build) -> list[str]:
    """Heads that hold a driver or the standing cluster, and workers of an endpoint, that not one budget keeps."""
    problems = []
    for pod in pods(build.there):
        names = [label(each) for each in _budgets(build) if selects(each["spec"].get("selector"), pod.labels)]
        if len(names) != _is_kept(pod):
            problems.append(f"{pod.where}: it is kept by {names or 'no budget'}")
    return problems


def loose_budgets(build: Build) -> list[str]:
    """Budgets that keep nothing, that Kubernetes can't work out, or that let a job's head go."""
    return [f"{label(each)}: {said}" for each in _budgets(build) for said in _loose(each, build)]


def _loose(budget: Object, build: Build) -> list[str]:
    spec: dict[str, Any] = budget["spec"]
    selector, least = spec.get("selector") or {}, spec.get("minAvailable")
    if not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return ["it selects no pod, or all"]
    if not isinstance(least, int) or least < 1:
        return [f"its minAvailable is {least}, no number of pods that stay"]
    chosen = [pod for pod in pods(build.there) if selects(selector, pod.labels)]
    if any(pod.role == HEAD and pod.owner["kind"] == "RayJob" for pod in chosen) and least < _most_pods(build):
        return [f"{least} heads of jobs stay, and the quota has room for {_most_pods(build):g} pods"]
    return []


def _is_kept(pod: Pod) -> bool:
    """Heads of endpoints come back with what they knew, and workers hand over what they hold."""
    kind = pod.owner["kind"]
    return (pod.role == HEAD and kind != "RayService") or (pod.role == WORKER and kind == "RayService")


def _budgets(build: Build) -> list[Object]:
    return [each for each in build.there if each["kind"] == "PodDisruptionBudget"]


def _most_pods(build: Build) -> float:
    quotas = [each["spec"]["hard"] for each in build.there if each["kind"] == "ResourceQuota"]
    return min((number(hard["pods"]) for hard in quotas if "pods" in hard), default=float("inf"))
