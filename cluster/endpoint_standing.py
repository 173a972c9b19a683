"""What answers for a spec: the endpoint that its store has a record of, or its RayService in Kubernetes."""

from __future__ import annotations

from cluster.endpoint_record import find
from raymill.spec import Spec
from raymill.standing import EndpointStanding
from raymill.store import Store


def standing_of(spec: Spec, on: str | None) -> EndpointStanding | None:
    """None where there is none. Raises ResourceError where the cluster means another store than this machine."""
    if on is None:
        store = Store(spec.store)
        return EndpointStanding.recorded(store, spec.name, answers=find(store, spec.name) is not None)
    return _in_kubernetes(spec)


def _in_kubernetes(spec: Spec) -> EndpointStanding | None:
    """While one version takes over from another, it is the new one that counts."""
    from cluster.kubernetes_api import KubernetesApi
    from cluster.kubernetes_release import arguments_of
    from cluster.object_names import endpoint_name
    from cluster.ray_endpoint import address, progress
    from cluster.ray_jobs import RayJobs

    jobs = RayJobs(KubernetesApi.connect(), lambda line: None)
    jobs.store_place().require(spec.store, jobs.api.namespace)
    found = jobs.api.get("RayService", endpoint_name(spec.name))
    if found is None:
        return None
    now = progress(found, spec.name)
    return EndpointStanding(
        url=address(spec, jobs.api),
        version=arguments_of(found, spec.name)["version"],
        started=found["metadata"]["creationTimestamp"],
        answers=now.ready,
        state="answers" if now.ready else f"failed: {now.failure}" if now.failure else f"waits for {now.waits_for}",
    )
