"""A small RayCluster and settings, as an overlay has them, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from cluster.job_settings import JobSettings
from cluster.overlay import Overlay
from cluster.ray_template import RayTemplate
from raymill.spec import Spec

SETTINGS = {
    "deadline_s": "7200",
    "ttl_s": "60",
    "wait_s": "600",
    "queue": "",
    "launcher_service_account": "raymill-launcher",
    "gateway_class": "",
}


def group(name: str, cpu: str, most: int, **limits: str) -> dict[str, Any]:
    """A worker group whose pods have so many CPUs, as a live cluster has it."""
    resources = {"limits": {"cpu": cpu, "memory": "8Gi", **limits}, "requests": {"cpu": "1", "memory": "8Gi"}}
    return {
        "groupName": name,
        "replicas": 3,
        "minReplicas": 1,
        "maxReplicas": most,
        "scaleStrategy": {"workersToDelete": ["a"]},
        "rayStartParams": {},
        "template": {
            "metadata": {"labels": {"app.kubernetes.io/component": "worker"}},
            "spec": {"containers": [{"name": "ray-worker", "image": "raymill:0.1.0", "resources": resources}]},
        },
    }


def cluster(*groups: dict[str, Any], **spec: Any) -> dict[str, Any]:
    head = {
        "securityContext": {"runAsNonRoot": True},
        "containers": [
            {
                "name": "ray-head",
                "image": "raymill:0.1.0",
                "securityContext": {"readOnlyRootFilesystem": True},
                "env": [{"name": "RAY_SERVE_HAPROXY_NBTHREAD", "value": "2"}],
                "envFrom": [{"secretRef": {"name": "raymill-store"}}],
                "resources": {"limits": {"cpu": "2", "memory": "8Gi"}},
            }
        ],
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "raymill", "namespace": "raymill"},
        "spec": {
            "enableInTreeAutoscaling": True,
            "upgradeStrategy": {"type": "Recreate"},
            "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": {"spec": head}},
            "workerGroupSpecs": list(groups) or [group("cpu", "4", 8)],
        }
        | spec,
    }


def settings_map(**changes: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "raymill-jobs"}, "data": SETTINGS | changes}


def template(*groups: dict[str, Any], **spec: Any) -> RayTemplate:
    return RayTemplate.of(cluster(*groups, **spec), "here")


def settings(**changes: str) -> JobSettings:
    return JobSettings.of(settings_map(**changes), "here")


def overlay(*groups: dict[str, Any], **changes: str) -> Overlay:
    return Overlay.of([cluster(*groups), settings_map(**changes)], "here")


def spec_in_a_bucket(serve: dict[str, Any] | None = None, **changes: Any) -> Spec:
    """A spec of which nothing is on this machine, and whose endpoint has a gateway before it."""
    named = {
        "name": "far",
        "task": {"type": "regression", "target": "y"},
        "data": {"source": "s3://lake/t.csv"},
        "store": "s3://ml/raymill",
        "tracking": "http://mlflow:5000",
        "serve": {"tokens": "gateway"} | (serve or {}),
    }
    return Spec.model_validate(named | changes)
