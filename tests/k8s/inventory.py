"""Inventory: what has to be there, by the folder that brings it."""

from __future__ import annotations

import re
from typing import Any

from tests.k8s.builds import ALL_COMPONENTS, Build, Object, components, label
from tests.k8s.pods import ray_specs

_BASE = """
    Namespace raymill, ResourceQuota raymill, LimitRange raymill, RayCluster raymill, ConfigMap raymill-jobs,
    ConfigMap raymill-store, PodDisruptionBudget ray-head, PodDisruptionBudget endpoints, NetworkPolicy default-deny,
    Deployment mlflow, Service mlflow, ServiceAccount ray-head, ServiceAccount ray-worker, ServiceAccount ray-submitter,
    ServiceAccount raymill-launcher, RoleBinding ray-head, RoleBinding raymill-launcher
"""
_OF_COMPONENTS = {
    "admission": """
        ValidatingAdmissionPolicy raymill-rayjobs, ValidatingAdmissionPolicy raymill-clusters,
        ValidatingAdmissionPolicy raymill-endpoints, ValidatingAdmissionPolicy raymill-images
    """,
    "external-secrets": "ExternalSecret raymill-store, ExternalSecret mlflow-database",
    "gateway": "Gateway raymill, HTTPRoute raymill, Certificate raymill-endpoints",
    "gcs-fault-tolerance": "StatefulSet redis, Service redis, NetworkPolicy redis",
    "kueue": """
        ClusterQueue raymill, LocalQueue raymill, Cohort raymill, ResourceFlavor raymill, WorkloadPriorityClass low,
        WorkloadPriorityClass normal, WorkloadPriorityClass high
    """,
    "monitoring": "PodMonitor ray-heads, PodMonitor ray-workers, PrometheusRule raymill, ConfigMap raymill-dashboard",
}
_ALERTS = {"RaymillJobFailed", "RaymillRayJobFailed", "RaymillEndpointErrors", "RaymillGpuIdle"}


def missing(build: Build) -> list[str]:
    """Objects, groups of workers and alerts that a build should have."""
    if not build.is_whole:
        return []
    there = set(map(label, build.objects))
    parts = [name.partition("/")[2] for name in components() if build.name in (name, ALL_COMPONENTS)]
    wanted = [_BASE, *([] if "managed-database" in parts else ["StatefulSet postgres, Service postgres"])]
    wanted += [_OF_COMPONENTS[part] for part in parts if part in _OF_COMPONENTS]
    names = [name for text in wanted for name in re.split(r",\s*", text.strip())]
    problems = [f"there is no {name}" for name in names if name not in there]
    return problems + _unaltered(build, parts) + [f"there is no alert {name}" for name in _unrung(build, parts)]


def _unaltered(build: Build, parts: list[str]) -> list[str]:
    """Components that patch the RayCluster and haven't."""
    [(_, spec)] = ray_specs(build.of_kind("RayCluster"))
    groups = {group["groupName"] for group in spec["workerGroupSpecs"]}
    redis = spec.get("gcsFaultToleranceOptions") or {}
    done = {
        "gpu": "gpu" in groups,
        "tls": (spec.get("tlsOptions") or {}).get("enabled") is True,
        "gcs-fault-tolerance": "secretKeyRef" in (redis.get("redisPassword") or {}).get("valueFrom", {}),
    }
    undone = [f"the component {part} hasn't changed the RayCluster" for part in parts if not done.get(part, True)]
    return undone if "cpu" in groups else [*undone, "the RayCluster has no workers cpu"]


def _unrung(build: Build, parts: list[str]) -> list[str]:
    groups = [group for each in build.of_kind("PrometheusRule") for group in each["spec"]["groups"]]
    rung = {rule.get("alert") for group in groups for rule in group["rules"]}
    return sorted(_ALERTS - rung) if "monitoring" in parts else []


def public(build: Build) -> list[str]:
    """Services that are reached from outside the cluster by themselves: only a Gateway is, which asks for HTTPS."""
    problems = [f"{label(each)} is reached from outside" for each in build.of_kind("Ingress", "IngressClass")]
    for each in build.of_kind("Service"):
        if each["spec"].get("type", "ClusterIP") != "ClusterIP" or each["spec"].get("externalIPs"):
            problems.append(f"{label(each)}: it is reached from outside")
    for each, spec in ray_specs(build.objects):
        if spec["headGroupSpec"].get("serviceType", "ClusterIP") != "ClusterIP":
            problems.append(f"{label(each)}: its head is reached from outside")
    for each in build.of_kind("Gateway"):
        open_ = [listener["name"] for listener in each["spec"]["listeners"] if listener["protocol"] != "HTTPS"]
        problems += [f"{label(each)}: the listener {name} is open" for name in open_]
    return problems


def loose_budgets(build: Build) -> list[str]:
    """Budgets that keep nothing."""
    budgets = build.of_kind("PodDisruptionBudget")
    return [f"{label(each)}: it keeps nothing" for each in budgets if not _keeps(each)]


def _keeps(budget: Object) -> bool:
    spec: dict[str, Any] = budget["spec"]
    return bool(spec.get("minAvailable")) or "maxUnavailable" in spec


def unmigrated(build: Build) -> list[str]:
    """MLflow without the step that brings its tables to its version, before it starts."""
    problems = []
    for each in build.of_kind("Deployment"):
        if each["metadata"]["name"] == "mlflow":
            steps = each["spec"]["template"]["spec"].get("initContainers") or ()
            if not any(step.get("command", [])[:3] == ["mlflow", "db", "upgrade"] for step in steps):
                problems.append(f"{label(each)}: no step upgrades its database")
    return problems
