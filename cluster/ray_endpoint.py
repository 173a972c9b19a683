"""An endpoint in Kubernetes: its RayService is applied, and waited for until the version that was asked for answers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.endpoint_arguments import ServedModel
from cluster.grpc_service import GRPC_PORT
from cluster.kubernetes_api import KubernetesApi
from cluster.object_names import budget_name, endpoint_name, grpc_service_name, service_name
from cluster.overlay import Overlay
from cluster.owned import owned
from cluster.pod_status import in_the_way_of
from cluster.ray_service import PORT, endpoint_objects
from cluster.serve_failure import cause_of
from raymill.console import Console
from raymill.errors import MachineError, ResourceError
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


def address(spec: Spec, api: KubernetesApi) -> str:
    """Where an endpoint answers, as pods of the cluster call it."""
    return f"http://{service_name(spec.name)}.{api.namespace}:{PORT}{spec.serve.route.rstrip('/')}"


def serve_model(spec: Spec, model: ServedModel, api: KubernetesApi, overlay: Overlay, console: Console) -> str:
    """Serves a version as a RayService and returns its address. Raises what `serve` and `endpoint_objects` raise."""
    objects = endpoint_objects(spec, model, overlay.template, overlay.settings.gateway_class)
    url = serve(spec, objects, api, overlay.settings.wait_s, console)
    grpc = f"{grpc_service_name(spec.name)}.{api.namespace}:{GRPC_PORT}"
    by_grpc = "" if spec.serve.grpc_port is None else f", and by gRPC at {grpc}"
    console.say(f"{spec.name} version {model.version} is served in Kubernetes at {url}{by_grpc}")
    return url


def take_down(spec: Spec, api: KubernetesApi) -> None:
    """Removes an endpoint. Raises ResourceError where there is none."""
    name = endpoint_name(spec.name)
    if api.get("RayService", name) is None:
        raise ResourceError(f"There is no endpoint {name} in the namespace {api.namespace}.", "There is nothing to do.")
    api.delete("RayService", name)
    _remove("Service", grpc_service_name(spec.name), api)
    _remove("PodDisruptionBudget", budget_name(spec.name), api)


def serve(
    spec: Spec, objects: Sequence[Mapping[str, Any]], api: KubernetesApi, within_s: float, console: Console
) -> str:
    """Applies an endpoint's objects, the RayService first, and returns its address in the cluster when it is ready.

    Raises MachineError where it isn't in so many seconds, and what kept its replicas from starting.
    """
    made = _applied(spec, objects, api)
    deadline_s, said = time.monotonic() + within_s, ""
    while True:
        found = api.get("RayService", endpoint_name(spec.name)) or made
        now = progress(found, spec.name)
        if now.ready:
            return address(spec, api)
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


def _applied(spec: Spec, objects: Sequence[Mapping[str, Any]], api: KubernetesApi) -> dict[str, Any]:
    """The RayService that was made; what is beside it goes with it."""
    service, *beside = objects
    made = api.apply(service)
    for each in beside:
        api.apply(owned(each, by=made))
    if spec.serve.grpc_port is None:
        _remove("Service", grpc_service_name(spec.name), api)
    return made


def _remove(kind: str, name: str, api: KubernetesApi) -> None:
    """Removes what an earlier deploy has made beside an endpoint, or what was rendered; absent is fine."""
    with contextlib.suppress(ResourceError):  # who may not remove it could not make it
        api.delete(kind, name)


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
