"""What answers for a spec: the endpoint that its store has a record of, or its RayService in Kubernetes."""

from __future__ import annotations

from cluster.endpoint_record import read
from raymill.console import Console
from raymill.spec import Spec
from raymill.standing import EndpointStanding
from raymill.store import Store


def standing_of(spec: Spec, on: str | None, console: Console) -> EndpointStanding | None:
    """None where there is none. Raises ResourceError where the endpoint in Kubernetes is of another store."""
    return _in_kubernetes(spec, console) if on is not None else _recorded(spec)


def _recorded(spec: Spec) -> EndpointStanding | None:
    record = read(Store(spec.store), spec.name)
    if record is None:
        return None
    answers = record.is_alive
    return EndpointStanding(
        url=record.url,
        version=record.version,
        started=record.started,
        answers=answers,
        state="answers" if answers else "does not answer from here",
    )


def _in_kubernetes(spec: Spec, console: Console) -> EndpointStanding | None:
    from cluster.kubernetes_release import served
    from cluster.object_names import endpoint_name
    from cluster.ray_endpoint import progress
    from cluster.ray_jobs import RayJobs

    jobs = RayJobs.connected(console.say)
    jobs.store_place().require(spec.store, jobs.api.namespace)
    found = jobs.api.get("RayService", endpoint_name(spec.name))
    if found is None:
        return None
    wanted, now = served(spec, jobs.api), progress(found, spec.name)
    return EndpointStanding(
        url=wanted.url,
        version=wanted.version,
        started=None,
        answers=now.ready,
        state="answers" if now.ready else f"failed: {now.failure}" if now.failure else f"waits for {now.waits_for}",
    )
