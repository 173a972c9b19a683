"""The endpoint: a model version becomes what answers at a URL, and stops doing so.

Ray is up when these are called. It names the Serve application by string only; what happens in a request is not its
business.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cluster.endpoint_arguments import APPLICATION, ServedModel, endpoint_arguments
from cluster.endpoint_record import EndpointRecord, find, forget, health_of
from cluster.exposure import remark, require_usable
from cluster.front import Front
from cluster.serve_failure import cause_of
from cluster.session import check_resources, cluster_of
from cluster.stopping import waiting_for_interrupt
from cluster.waiting import waiting
from raymill.console import Console
from raymill.errors import DataError, MachineError, RaymillError, ResourceError
from raymill.release import settle
from raymill.spec import Spec
from raymill.store import Store

__all__ = ["Endpoint", "Front", "deploy_version", "find", "forget", "hold", "require", "undeploy"]

_PUBLIC_WITHIN_S = 300.0
_POLL_S = 0.1
_WATCH_S = 0.5
_STEADY_S, _STEADY_WHERE_NEW_S = 1.0, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a model answers; `changed` is False when that version was there already, `is_new` where none was.

    `certificate` is the one that it shows, in PEM, and empty without TLS.
    """

    name: str
    url: str
    version: str
    changed: bool
    is_new: bool
    certificate: str = ""

    @property
    def predict_url(self) -> str:
        return f"{self.url}/v1/{self.name}/predict"


class _Overtaken(ResourceError):
    """Somebody else's deploy has come after this one: what they serve is not undone."""


def deploy_version(
    spec: Spec,
    *,
    version: int | str,
    bundle_uri: str,
    digest: str,
    console: Console,
    run_id: str | None = None,
    front: Front | None = None,
) -> Endpoint:
    """Serves a bundle under the spec's name and returns when its public URL answers with that version.

    A version already there is left as it is; another one is replaced without a failed request, and stays if the new
    one can't start. `front` may have been started earlier. Raises SpecError for an endpoint that others reach without
    a guard, ResourceError, DataError, StoreError, MachineError.
    """
    certificate = require_usable(spec.serve, os.environ)
    check_resources(spec.serve.cpus, 0)
    _check_bundle(bundle_uri, digest)
    version = str(version)
    store, url = Store(spec.store), _url(spec)
    front = front or Front.start(spec.serve)
    front.wait_for_controller()
    _check_route(spec)
    there = _status(spec.name) is not None
    before = find(store, spec.name) if there else None
    endpoint_id = before.args.get("endpoint_id") if before is not None else None
    model = ServedModel(version=version, bundle_uri=bundle_uri, digest=digest, run_id=run_id)
    args = endpoint_arguments(spec, model, endpoint_id or uuid.uuid4().hex[:12])
    endpoint = Endpoint(
        name=spec.name, url=url, version=version, changed=True, is_new=not there, certificate=certificate
    )
    if before is not None and before.args == args:
        settle(store, spec.name, version)
        console.say(f"{spec.name} version {version} is already served at {url}")
        return replace(endpoint, changed=False)
    _change(spec, args, endpoint, before, front)
    _record(args, endpoint).write(store)
    settle(store, spec.name, version)
    _say(spec, endpoint, console)
    return endpoint


def _change(spec: Spec, args: dict[str, Any], endpoint: Endpoint, before: EndpointRecord | None, front: Front) -> None:
    """Has Serve run a version, and returns when it answers. What ran before stays where that fails, which is raised."""
    was = None if endpoint.is_new else health_of(endpoint.url, endpoint.certificate)
    try:
        _run(args)
        with waiting({"CPU": spec.serve.cpus}):
            _wait_until_public(args, endpoint, front, was)
    except _Overtaken:
        raise
    except RaymillError as cause:
        raise _undone(args, cause, before, not endpoint.is_new) from cause


def _say(spec: Spec, endpoint: Endpoint, console: Console) -> None:
    by_grpc = "" if spec.serve.grpc_port is None else f", and by gRPC on port {spec.serve.grpc_port}"
    console.say(f"{endpoint.name} version {endpoint.version} is served at {endpoint.url}{by_grpc}")
    if said := remark(spec.serve):
        console.say(said)


def undeploy(spec: Spec, console: Console) -> None:
    """Takes an endpoint down; with the last one its foreground process ends, or on a cluster Serve does.

    Raises ResourceError when there is none.
    """
    from ray import serve

    store, record = Store(spec.store), require(spec)
    serve.delete(spec.name, _blocking=False)
    forget(store, spec.name)
    console.say(f"{spec.name} is no longer served at {record.url}")
    if cluster_of(os.environ) is not None and not _live_applications():
        serve.shutdown()  # nobody holds it there, and its port and processes would stay


def require(spec: Spec) -> EndpointRecord:
    """The record of the spec's running endpoint. It asks no Ray. Raises ResourceError when there is none."""
    store = Store(spec.store)
    record = find(store, spec.name)
    if record is None:
        raise ResourceError(f"No endpoint {spec.name} is running for the store {store.uri}.", "There is nothing to do.")
    return record


def hold(spec: Spec, console: Console) -> None:
    """Keeps the endpoint up until Ctrl-C, SIGTERM, or the last endpoint of this Ray session is undeployed.

    Its record goes with it. Raises MachineError when Ray went away.
    """
    try:
        with waiting_for_interrupt() as is_interrupted:
            while not is_interrupted(_WATCH_S):
                if not _live_applications():
                    console.say("no endpoint is left")
                    return
    finally:
        forget(Store(spec.store), spec.name, ray_address=_ray_address())


def _url(spec: Spec) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(spec.serve.host, spec.serve.host)
    scheme = "http" if spec.serve.tls is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{spec.serve.port}{spec.serve.route.rstrip('/')}"


def _check_bundle(bundle_uri: str, digest: str) -> None:
    found = hashlib.sha256(Store(bundle_uri).read_bytes("bundle.json")).hexdigest()
    if found != digest:
        raise DataError(
            f"The bundle {bundle_uri} has the digest {found[:12]}, not {digest[:12]}.",
            "Train again, or name another version.",
        )


def _check_route(spec: Spec) -> None:
    from ray.serve.context import _get_global_client

    for name, details in _get_global_client().get_serve_details()["applications"].items():
        if name != spec.name and details["route_prefix"] == spec.serve.route:
            raise ResourceError(
                f"The route {spec.serve.route} of this Ray's Serve belongs to {name}.",
                f"Give {spec.name} a route of its own, as in serve.route=/{spec.name}.",
            )


def _run(args: dict[str, Any]) -> None:
    """Hands the application to Serve and returns before it runs."""
    from ray import serve

    module, function = APPLICATION.split(":")
    target = getattr(importlib.import_module(module), function)(args)
    serve.run_many(
        [serve.RunTarget(target, name=args["name"], route_prefix=args["route"])],
        wait_for_ingress_deployment_creation=False,
        wait_for_applications_running=False,
    )


def _wait_until_public(
    args: dict[str, Any], endpoint: Endpoint, front: Front, was: Mapping[str, Any] | None = None
) -> None:
    """Waits until for a while only such replicas answer: a second where there were others.

    Both kinds are asked in turn at first, and a connection that was open then knows the old ones for one more request.
    Serve calls a change done only when the old replicas have drained, half a minute later. `was` is what answered
    before. Raises what kept the replicas or the proxy from starting, and _Overtaken.
    """
    deadline_s, since_s, why = time.monotonic() + _PUBLIC_WITHIN_S, None, ""
    steady_s = _STEADY_WHERE_NEW_S if endpoint.is_new else _STEADY_S
    wanted = {"name": args["name"], "id": args["endpoint_id"], "configuration": args["configuration"]}
    while time.monotonic() < deadline_s:
        health = health_of(endpoint.url, endpoint.certificate)
        if health is not None and wanted.items() <= health.items():
            since_s = since_s or time.monotonic()
            if time.monotonic() - since_s >= steady_s:
                return
        else:
            since_s = None
            front.check()
            state, why = _status(args["name"]) or ("DELETING", "It was undeployed meanwhile")
            if state in ("DEPLOY_FAILED", "DELETING"):
                raise cause_of(why)
            if state == "RUNNING" and _is_anothers(health, wanted, was):
                raise _overtaken(endpoint)
            time.sleep(_POLL_S)
    raise MachineError(
        f"{endpoint.url} does not answer after {_PUBLIC_WITHIN_S:g} seconds. {why.partition(chr(10))[0]}".strip(),
        "Free some CPUs, or ask for fewer.",
    )


def _is_anothers(health: Mapping[str, Any] | None, wanted: Mapping[str, Any], was: Mapping[str, Any] | None) -> bool:
    """Whether what answers is neither what is wanted nor what answered before."""
    if health is None or was is None:
        return False
    return health.get("configuration") not in (wanted["configuration"], was.get("configuration"))


def _overtaken(endpoint: Endpoint) -> _Overtaken:
    return _Overtaken(
        f"Version {endpoint.version} of {endpoint.name} isn't served: another deploy came after it at {endpoint.url}.",
        "Look by `raymill status SPEC` what is, and type the command again if this one is to be.",
    )


def _undone(args: dict[str, Any], cause: RaymillError, before: EndpointRecord | None, there: bool) -> RaymillError:
    """Settles Serve on what ran before, and says what went wrong."""
    from ray import serve

    what = f"Version {args['version']} of {args['name']} did not start: {cause.what}"
    if before is not None:
        _run(before.args)
        return type(cause)(what, f"{cause.fix} Version {before.version} still answers at {before.url}.")
    if not there:
        serve.delete(args["name"], _blocking=False)
    return type(cause)(what, cause.fix)


def _ray_address() -> str:
    import ray

    return str(ray.get_runtime_context().gcs_address)


def _record(args: dict[str, Any], endpoint: Endpoint) -> EndpointRecord:
    return EndpointRecord(
        name=endpoint.name,
        url=endpoint.url,
        version=endpoint.version,
        ray_address=_ray_address(),
        pid=os.getpid(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        args=args,
        certificate=endpoint.certificate,
    )


def _status(name: str) -> tuple[str, str] | None:
    """The state of an application and why, or None where there is none."""
    from ray import serve

    found = serve.status().applications.get(name)
    if found is None:
        return None
    reasons = [found.message, *(deployment.message for deployment in found.deployments.values())]
    return str(found.status.value), next((reason for reason in reversed(reasons) if reason), "")


def _live_applications() -> list[str]:
    import ray
    from ray import serve

    try:
        found = serve.status().applications
    except ray.exceptions.RayError as error:
        raise MachineError(f"Ray Serve went away: {error}.", "Type the command again.") from error
    return [name for name, application in found.items() if application.status.value != "DELETING"]
