"""The command `raymill k8s render`: a spec and an overlay become manifests on standard output."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cluster.cron_job import schedule_objects
from cluster.endpoint_arguments import ServedModel
from cluster.exposure import require_guard_in_kubernetes
from cluster.manifest_text import as_yaml
from cluster.object_names import is_cluster_name
from cluster.output import Output
from cluster.overlay import Overlay
from cluster.preflight import require_remote
from cluster.ray_job import JobOrder, job_objects
from cluster.ray_job import remarks as job_remarks
from cluster.ray_service import endpoint_objects
from cluster.ray_service import remarks as service_remarks
from cluster.remote import options, places
from raymill.console import Console
from raymill.errors import DataError, SpecError
from raymill.job_record import new_id
from raymill.spec import Spec
from raymill.spec_text import load_spec

_SERVE_APART = ["--no-serve"]  # the endpoint is a RayService, made when the job has reported


def render(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """Prints what would be applied, and applies nothing."""
    spec = load_spec(arguments.spec, arguments.overrides)
    require_remote(spec, "the Kubernetes cluster", places(arguments))
    _require_cluster_name(arguments.cluster)
    overlay = Overlay.build(arguments.overlay)
    output.text(as_yaml(_objects(spec, arguments, overlay, console)))
    return {}


def _require_cluster_name(name: str | None) -> None:
    if name is not None and not is_cluster_name(name):
        raise SpecError(
            f"--cluster is {name!r}, and no RayCluster can be called so.",
            "Name one that `kubectl get rayclusters` shows: up to 53 lower-case letters, digits and hyphens.",
        )


def say_all(remarks: Iterable[str], console: Console) -> None:
    for remark in remarks:
        console.say(f"WARNING: {remark}")


def job_options(arguments: argparse.Namespace, command: str) -> list[str]:
    """A command's own options as its job in Kubernetes takes them."""
    return [*(_SERVE_APART if command == "run" else []), *(o for o in options(arguments) if o not in _SERVE_APART)]


def _objects(spec: Spec, arguments: argparse.Namespace, overlay: Overlay, console: Console) -> list[dict[str, Any]]:
    if arguments.service:
        require_guard_in_kubernetes(spec.serve)  # which is known before MLflow is asked
        say_all(service_remarks(spec, overlay.template), console)
        return endpoint_objects(spec, _champion(spec), overlay.template, overlay.settings.gateway_class)
    command = arguments.job or "run"
    if arguments.schedule is not None:
        if command == "run":
            require_guard_in_kubernetes(spec.serve)  # or each of its runs would refuse the endpoint
        typed = options(arguments)
        return schedule_objects(spec, command, typed, arguments.schedule, overlay.template, overlay.settings)
    id = new_id(spec.name, command, datetime.now(UTC))
    chosen = job_options(arguments, command)
    order = JobOrder(spec=spec, command=command, options=chosen, id=id, standing=arguments.cluster)
    say_all(job_remarks(order, overlay.settings), console)
    return job_objects(order, overlay.template, overlay.settings)


def _champion(spec: Spec) -> ServedModel:
    """The version to serve, as the tracker says. Raises DataError where nothing has been promoted, TrackerError."""
    from raymill.registry import Registry

    assert spec.tracking is not None
    champion = Registry(spec.tracking, waits_s=0.0).alias(spec.name, "champion")
    if champion is None:
        raise DataError(
            f"{spec.name} has no champion to serve: the gate has promoted no version.",
            "Run the job first: `raymill run SPEC --on k8s` applies the endpoint by itself.",
        )
    return ServedModel.of(champion)
