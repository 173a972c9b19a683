"""Redis: the Job by which KubeRay clears a cluster's part of it is let in, and reaches it.

It is made of the head's pod as `buildRedisCleanupJob` of `controllers/ray/raycluster_controller.go` does at v1.7.0.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from tests.k8s import access, containers, network, pod_security, policies, quota, references
from tests.k8s.builds import Build, Object, build
from tests.k8s.network import DNS, End
from tests.k8s.pods import HEAD, pods

_GETS = {"limits": {"cpu": "200m", "memory": "256Mi"}, "requests": {"cpu": "200m", "memory": "256Mi"}}
_ASKED = ("livenessProbe", "readinessProbe")


def cleanup(name: str) -> Build:
    """The Job beside what was applied, for the head of a build."""
    of = build(name)
    [head] = [pod for pod in pods(of.objects) if pod.role == HEAD]
    spec = copy.deepcopy(head.spec) | {"restartPolicy": "Never"}
    ray = {key: value for key, value in spec["containers"][0].items() if key not in _ASKED}
    spec["containers"] = [ray | {"command": ["/bin/bash", "-c", "--"], "args": ["python -c ''"], "resources": _GETS}]
    labels = head.labels | {"ray.io/node-type": "redis-cleanup"}
    job: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "redis-cleanup", "namespace": "raymill"},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": spec}},
    }
    return Build(name=f"redis-cleanup, {name}", objects=(job,), beside=of.there)


OF = ("overlays/cpu", "overlays/gpu", "service, overlays/cpu")
CHECKS: list[Callable[[Build], list[str]]] = [
    pod_security.unrestricted,
    policies.refused,
    containers.writable_roots,
    quota.over_quota,
    quota.out_of_range,
    references.dangling,
    access.secrets_in_clear,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", OF)
def test_kuberays_cleanup_is_let_in(name: str, check: Callable[[Build], list[str]]) -> None:
    assert check(cleanup(name)) == []


@pytest.mark.parametrize("name", OF)
def test_kuberays_cleanup_reaches_redis_and_names_and_no_budget_keeps_it(name: str) -> None:
    job = cleanup(name)
    [pod] = pods(job.objects)
    [redis] = [End(name="redis", labels=each.labels) for each in pods(job.beside) if each.where == "StatefulSet redis"]
    here = End(name="cleanup", labels=pod.labels)
    assert not network.blocked(job, here, redis, 6379)
    assert not network.blocked(job, here, DNS, 53, "UDP")
    budgets = [each["spec"]["selector"] for each in job.there if each["kind"] == "PodDisruptionBudget"]
    assert not any(network.selects(selector, pod.labels) for selector in budgets)
