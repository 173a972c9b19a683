"""An endpoint in Kubernetes: its RayService is applied, and waited for until the version that was asked for answers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.kubernetes_api import KubernetesApi
from cluster.object_names import endpoint_name, service_name
from cluster.pod_status import in_the_way_of
from cluster.ray_service import PORT
from cluster.serve_failure import cause_of
from raymill.console import Console
from raymill.errors import MachineError
from raymill.spec import Spec

_POLL_S = 2.0
_NO_STATUS = "the KubeRay operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an endpoint is: ready, or failed with Serve's words, or waiting for something."""

    ready: bool = False
    failure: str = ""
    waits_for: str = ""


def progress(service: Mapping[str, Any], application: str) -> Progress:
    """Reads a RayService. While one cluster takes over from another, it is the new one that counts."""
    status = service.get("status") or {}
    if status.get("observedGeneration", 0) < service["metadata"]["generation"]:
        return Progress(waits_for=_NO_STATUS)
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    upgrading = conditions.get("UpgradeInProgress", {}).get("status") == "True"
    told = (_coming(status) if upgrading else status.get("activeServiceStatus")) or _coming(status)
    app = (told.get("applicationStatuses") or {}).get(application) or {}
    if app.get("status") == "DEPLOY_FAILED":
        return Progress(failure=_said(app) or "Serve doesn't say why")
    if conditions.get("Ready", {}).get("status") == "True" and not upgrading and app.get("status") == "RUNNING":
        return Progress(ready=True)
    if app and app.get("status") != "RUNNING":
        return Progress(waits_for=f"its replicas, {app['status'].lower()}{f': {_said(app)}' if _said(app) else ''}")
    return Progress(waits_for="its pods to take requests" if app else "its Ray cluster")


def cluster_of(service: Mapping[str, Any]) -> str | None:
    """The Ray cluster that starts, else the one that is there."""
    status = service.get("status") or {}
    return _coming(status).get("rayClusterName") or (status.get("activeServiceStatus") or {}).get("rayClusterName")


def serve(spec: Spec, service: Mapping[str, Any], api: KubernetesApi, within_s: float, console: Console) -> str:
    """Applies a RayService and returns its address in the cluster when it is ready.

    Raises MachineError where it isn't in so many seconds, and what kept its replicas from starting.
    """
    api.apply(service)
    deadline_s, said = time.monotonic() + within_s, ""
    while True:
        found = api.get("RayService", endpoint_name(spec.name)) or service
        now = progress(found, spec.name)
        if now.ready:
            return f"http://{service_name(spec.name)}.{api.namespace}:{PORT}{spec.serve.route.rstrip('/')}"
        if now.failure:
            raise cause_of(now.failure)
        waits_for = _first(map(in_the_way_of, _pods(found, api))) or now.waits_for
        if waits_for != said:
            console.say(f"waiting for {waits_for}")
            said = waits_for
        if time.monotonic() >= deadline_s:
            raise MachineError(
                f"The endpoint {spec.name} isn't ready after {within_s:g} seconds; it waits for {said}.",
                f"It goes on by itself: `kubectl -n {api.namespace} describe rayservice {endpoint_name(spec.name)}`.",
            )
        time.sleep(_POLL_S)


def _pods(service: Mapping[str, Any], api: KubernetesApi) -> list[dict[str, Any]]:
    cluster = cluster_of(service)
    return api.list("Pod", labels=f"ray.io/cluster={cluster}") if cluster else []


def _coming(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return status.get("pendingServiceStatus") or {}


def _said(application: Mapping[str, Any]) -> str:
    deployments = (application.get("serveDeploymentStatuses") or {}).values()
    return _first([application.get("message") or "", *(each.get("message") or "" for each in deployments)])


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")
