"""Commands with `--on k8s`: a job is applied as a RayJob and followed; after a walk its champion is served."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cluster.endpoint_arguments import ServedModel
from cluster.exposure import require_guard_in_kubernetes
from cluster.kubernetes_api import KubernetesApi
from cluster.kubernetes_release import release_champion, require_releasable
from cluster.object_names import service_name
from cluster.output import Output
from cluster.overlay import Overlay
from cluster.preflight import require_remote, require_store
from cluster.ray_endpoint import serve_model, take_down
from cluster.ray_job import JobOrder
from cluster.ray_job import remarks as job_remarks
from cluster.ray_job_submission import RayJobSubmission
from cluster.ray_jobs import RayJobs
from cluster.ray_service import PORT
from cluster.ray_service import remarks as service_remarks
from cluster.remote import places, watch, written
from cluster.rendering import job_options, say_all
from raymill.console import Console
from raymill.errors import ResourceError
from raymill.job_record import new_id
from raymill.registry import Version
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
    jobs = RayJobs.connected(console.say)
    api = jobs.api
    if arguments.command == "undeploy":
        return _undeploy(spec, api, console)
    if _releases(arguments):
        require_releasable(spec, jobs)
    overlay = jobs.overlay()
    _ask_stores(written(spec, arguments), jobs, console)
    report = _run(spec, arguments, jobs, overlay, console)
    if not _serves(arguments):
        return report
    champion = _model(report.get("champion"))
    if _releases(arguments):
        release = release_champion(spec, champion, arguments, api, overlay, console)
        return report | {"job": arguments.command, "release": release.model_dump(mode="json")}
    return report | {"job": arguments.command, "endpoint": _endpoint(spec, champion, api, overlay, console)}


def _ask_stores(uris: Iterable[str], jobs: RayJobs, console: Console) -> None:
    """Refuses what can't be written, as far as this machine can know: at another service it would ask for another."""
    place = jobs.store_place()
    for uri in uris:
        if place.has(uri):
            require_store(uri, console)
        else:
            console.say(f"{place.difference(uri)}, so that the job is the first to ask there")


def _releases(arguments: argparse.Namespace) -> bool:
    """Whether it is a deploy beside the version that is served."""
    return arguments.command == "deploy" and (arguments.canary, arguments.shadow) != (None, None)


def _serves(arguments: argparse.Namespace) -> bool:
    return arguments.command == "deploy" or (arguments.command == "run" and not arguments.no_serve)


def _undeploy(spec: Spec, api: KubernetesApi, console: Console) -> dict[str, Any]:
    take_down(spec, api)
    console.say(f"{spec.name} is no longer served in Kubernetes")
    return {"endpoint": None}


def _run(
    spec: Spec, arguments: argparse.Namespace, jobs: RayJobs, overlay: Overlay, console: Console
) -> dict[str, Any]:
    """The job of a command; of deploy the last step before it, since only the cluster reaches the tracker."""
    command = "promote" if arguments.command == "deploy" else arguments.command
    id = new_id(spec.name, command, datetime.now(UTC))
    # What a deploy has of its own is no option of the step before it.
    chosen = [] if arguments.command == "deploy" else job_options(arguments, command)
    order = JobOrder(spec=spec, command=command, options=chosen, id=id)
    say_all(job_remarks(order, overlay.settings), console)
    jobs.submit(order, overlay)
    console.say(f"submitted {id} to Kubernetes, as the RayJob {order.name} in {jobs.api.namespace}")
    return watch(RayJobSubmission(api=jobs, id=id), spec, command, console)


def _model(champion: dict[str, Any] | None) -> ServedModel | None:
    """The champion that a job has reported."""
    return None if champion is None else ServedModel.of(Version(**champion))


def _endpoint(
    spec: Spec, champion: ServedModel | None, api: KubernetesApi, overlay: Overlay, console: Console
) -> str | None:
    """The address of the champion's endpoint; None where there is no champion."""
    if champion is None:
        console.say("no endpoint: the gate has promoted no version")
        return None
    say_all(service_remarks(spec, overlay.template), console)
    url = serve_model(spec, champion, api, overlay, console)
    console.say(f"next:     kubectl -n {api.namespace} port-forward service/{service_name(spec.name)} {PORT}")
    return url


def _refuse_once(arguments: argparse.Namespace) -> None:
    if getattr(arguments, "once", False):
        raise ResourceError(
            "--once asks an endpoint from here, and one in Kubernetes is not to be reached from here.",
            "Leave it out: the command says how to reach the endpoint when it is ready.",
        )
