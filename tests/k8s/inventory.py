"""Inventory: what has to be there, by the folder that brings it."""

from __future__ import annotations

import re

from tests.k8s.builds import ALL_COMPONENTS, Build, components, label
from tests.k8s.pods import ray_specs

_BASE = """
    Namespace raymill, ResourceQuota raymill, LimitRange raymill, RayCluster raymill, ConfigMap raymill-jobs,
    ConfigMap raymill-store, PodDisruptionBudget ray-head, PodDisruptionBudget job-heads, NetworkPolicy default-deny,
    Deployment mlflow, Service mlflow, ServiceAccount ray-head, ServiceAccount ray-worker, ServiceAccount ray-submitter,
    ServiceAccount raymill-launcher, RoleBinding ray-head, RoleBinding raymill-launcher
"""
_OF_COMPONENTS = {
    "admission": """
        ValidatingAdmissionPolicy raymill-rayjobs, ValidatingAdmissionPolicy raymill-clusters,
        ValidatingAdmissionPolicy raymill-endpoints, ValidatingAdmissionPolicy raymill-images
    """,
    "external-secrets": "ExternalSecret raymill-store, ExternalSecret mlflow-database, ExternalSecret redis",
    "gateway": "Namespace raymill-gateway, Gateway raymill, HTTPRoute raymill, Certificate raymill-endpoints",
    "gcs-fault-tolerance": "StatefulSet redis, Service redis, NetworkPolicy redis",
    "kueue": """
        ClusterQueue raymill, LocalQueue raymill, Cohort raymill, ResourceFlavor raymill,
        WorkloadPriorityClass raymill-low, WorkloadPriorityClass raymill-normal, WorkloadPriorityClass raymill-high
    """,
    "monitoring": "PodMonitor ray-heads, PodMonitor ray-workers, PrometheusRule raymill, ConfigMap raymill-dashboard",
}
_OF_OVERLAYS = {
    "overlays/cpu": ["admission", "gcs-fault-tolerance"],
    "overlays/gpu": ["gpu", "admission", "gcs-fault-tolerance"],
}
_ALERTS = {
    "RaymillJobFailed",
    "RaymillRayJobFailed",
    "RaymillEndpointErrors",
    "RaymillEndpointRefuses",
    "RaymillEndpointSlow",
    "RaymillEndpointDown",
    "RaymillEndpointLogDrops",
    "RaymillGpuIdle",
}


def missing(build: Build) -> list[str]:
    """Objects, groups of workers and alerts that a build should have."""
    if not build.is_whole:
        return []
    there = set(map(label, build.objects))
    parts = [name.partition("/")[2] for name in components() if build.name in (name, ALL_COMPONENTS)]
    parts += _OF_OVERLAYS.get(build.name, ())
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


def blind_monitors(build: Build) -> list[str]:
    """Monitors that look at nothing, or at whatever is there."""
    problems = []
    for each in build.of_kind("PodMonitor", "ServiceMonitor"):
        if not each["spec"].get("podMetricsEndpoints") and not each["spec"].get("endpoints"):
            problems.append(f"{label(each)}: it asks for no metrics")
        if not any(one.get("port") == "metrics" for one in each["spec"].get("podMetricsEndpoints") or ()):
            problems.append(f"{label(each)}: it doesn't ask for Ray's own metrics")
        if not (each["spec"]["selector"].get("matchLabels") or each["spec"]["selector"].get("matchExpressions")):
            problems.append(f"{label(each)}: it looks at every pod")
    return problems


def selfish_queues(build: Build) -> list[str]:
    """Queues that lend nothing, give nothing back, or are open to all namespaces."""
    problems = []
    for each in build.of_kind("ClusterQueue"):
        wanted = ("cohortName", "preemption", "namespaceSelector", "resourceGroups")
        problems += [f"{label(each)}: it has no {word}" for word in wanted if not each["spec"].get(word)]
        preemption = each["spec"].get("preemption") or {}
        missing = {"withinClusterQueue", "reclaimWithinCohort"} - set(preemption)
        problems += [f"{label(each)}: it doesn't say {word}" for word in sorted(missing)]
    return problems


def bad_tracker(build: Build) -> list[str]:
    """An MLflow without its migration, its database's address from a Secret, or a bucket for its files."""
    problems = []
    for each in (each for each in build.of_kind("Deployment") if each["metadata"]["name"] == "mlflow"):
        pod = each["spec"]["template"]["spec"]
        steps, [server] = pod.get("initContainers") or [], pod["containers"]
        upgrades = [step for step in steps if "mlflow.db" in (step.get("command") or [""])[-1]]
        if not upgrades:
            problems.append(f"{label(each)}: no step upgrades its database")
        if (server.get("command") or [])[:2] != ["mlflow", "server"]:
            problems.append(f"{label(each)}: it serves nothing")
        for container in (server, *upgrades):
            env = {one["name"]: one.get("valueFrom") or {} for one in container.get("env") or ()}
            if "secretKeyRef" not in env.get("MLFLOW_BACKEND_STORE_URI", {}):
                problems.append(f"{label(each)}: {container['name']} gets no MLFLOW_BACKEND_STORE_URI from a Secret")
    maps = {each["metadata"]["name"]: each.get("data") or {} for each in build.of_kind("ConfigMap")}
    if build.is_whole and not str(maps.get("mlflow", {}).get("MLFLOW_ARTIFACTS_DESTINATION", "")).startswith("s3://"):
        problems.append("MLflow has no bucket for its files")
    return problems


def open_databases(build: Build) -> list[str]:
    """Databases that ask for no password, or that have no volume."""
    problems = []
    for name, word in (("postgres", "POSTGRES_PASSWORD"), ("redis", "REDIS_PASSWORD")):
        for each in (each for each in build.of_kind("StatefulSet") if each["metadata"]["name"] == name):
            [container] = each["spec"]["template"]["spec"]["containers"]
            env = {one["name"]: one.get("valueFrom") or {} for one in container.get("env") or ()}
            if "secretKeyRef" not in env.get(word, {}):
                problems.append(f"{label(each)}: it gets no {word} from a Secret")
            if not each["spec"].get("volumeClaimTemplates"):
                problems.append(f"{label(each)}: it has no volume")
            if name == "redis" and "requirepass" not in str(container.get("args")):
                problems.append(f"{label(each)}: it asks for no password")
    return problems
