"""Commands with `--on k8s`: a job is applied as a RayJob and followed; after a walk its champion is served."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from cluster.endpoint_arguments import ServedModel
from cluster.exposure import require_guard_in_kubernetes
from cluster.kubernetes_api import KubernetesApi
from cluster.object_names import endpoint_name, service_name
from cluster.output import Output
from cluster.overlay import Overlay
from cluster.preflight import require_remote, require_store
from cluster.ray_endpoint import serve
from cluster.ray_job import JobOrder
from cluster.ray_job import remarks as job_remarks
from cluster.ray_job_submission import RayJobSubmission
from cluster.ray_jobs import RayJobs
from cluster.ray_service import PORT, ray_service
from cluster.ray_service import remarks as service_remarks
from cluster.remote import places, watch, written
from cluster.rendering import job_options, say_all
from raymill.console import Console
from raymill.errors import ResourceError
from raymill.job_record import new_id
from raymill.spec import Spec
from raymill.spec_text import load_spec


def submit(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """Runs a command as a RayJob; returns what it reported, and of a walk or a deploy where its endpoint is.

    Raises EndedElsewhere where it failed. What the overlay can't hold is refused before there is a job.
    """
    spec = load_spec(arguments.spec, arguments.overrides)
    require_remote(spec, "the Kubernetes cluster", places(arguments))
    _refuse_once(arguments)
    if _serves(arguments):
        require_guard_in_kubernetes(spec.serve)
    api = KubernetesApi.connect()
    if arguments.command == "undeploy":
        return _undeploy(spec, api, console)
    jobs = RayJobs(api, console.say)
    overlay = jobs.overlay()
    for uri in written(spec, arguments):
        require_store(uri, console)
    report = _run(spec, arguments, jobs, overlay, console)
    if _serves(arguments):
        report |= {"job": arguments.command, "endpoint": _endpoint(spec, report.get("champion"), api, overlay, console)}
    return report


def _serves(arguments: argparse.Namespace) -> bool:
    return arguments.command == "deploy" or (arguments.command == "run" and not arguments.no_serve)


def _undeploy(spec: Spec, api: KubernetesApi, console: Console) -> dict[str, Any]:
    name = endpoint_name(spec.name)
    if api.get("RayService", name) is None:
        raise ResourceError(f"There is no endpoint {name} in the namespace {api.namespace}.", "There is nothing to do.")
    api.delete("RayService", name)
    console.say(f"{spec.name} is no longer served in Kubernetes")
    return {"endpoint": None}


def _run(
    spec: Spec, arguments: argparse.Namespace, jobs: RayJobs, overlay: Overlay, console: Console
) -> dict[str, Any]:
    """The job of a command; of deploy the last step before it, since only the cluster reaches the tracker."""
    command = "promote" if arguments.command == "deploy" else arguments.command
    id = new_id(spec.name, command, datetime.now(UTC))
    order = JobOrder(spec=spec, command=command, options=job_options(arguments, command), id=id)
    say_all(job_remarks(order, overlay.settings), console)
    jobs.submit(order, overlay)
    console.say(f"submitted {id} to Kubernetes, as the RayJob {order.name} in {jobs.api.namespace}")
    return watch(RayJobSubmission(api=jobs, id=id), spec, command, console)


def _endpoint(
    spec: Spec, champion: dict[str, Any] | None, api: KubernetesApi, overlay: Overlay, console: Console
) -> str | None:
    """The address of the champion's endpoint; None where there is no champion."""
    if champion is None:
        console.say("no endpoint: the gate has promoted no version")
        return None
    model = ServedModel(
        version=str(champion["number"]),
        bundle_uri=champion["bundle_uri"],
        digest=champion["digest"],
        run_id=champion["run_id"],
    )
    say_all(service_remarks(spec, overlay.template), console)
    url = serve(spec, ray_service(spec, model, overlay.template), api, overlay.settings.wait_s, console)
    console.say(f"{spec.name} version {model.version} is served in Kubernetes at {url}")
    console.say(f"next:     kubectl -n {api.namespace} port-forward service/{service_name(spec.name)} {PORT}")
    return url


def _refuse_once(arguments: argparse.Namespace) -> None:
    if getattr(arguments, "once", False):
        raise ResourceError(
            "--once asks an endpoint from here, and one in Kubernetes is not to be reached from here.",
            "Leave it out: the command says how to reach the endpoint when it is ready.",
        )
