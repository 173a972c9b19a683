"""Where `--on` points: a cluster's Jobs API at an address, or Kubernetes. Both know jobs by their ids.

Only Kubernetes says where its store is.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeAlias

from cluster.grammar import KUBERNETES
from cluster.jobs_api import JobsApi
from cluster.kubernetes_api import KubernetesApi
from cluster.ray_job_submission import RayJobSubmission
from cluster.ray_jobs import RayJobs
from cluster.store_place import StorePlace
from cluster.submission import Submission
from raymill.console import Console
from raymill.errors import MachineError, ResourceError
from raymill.spec import Spec

if TYPE_CHECKING:
    from raymill.store import Store

Elsewhere: TypeAlias = JobsApi | RayJobs


def elsewhere(address: str, console: Console) -> Elsewhere:
    """What answers for jobs there. Raises ResourceError where there is no Kubernetes to ask."""
    return RayJobs(KubernetesApi.connect(), console.say) if address == KUBERNETES else JobsApi(address)


def submission_of(api: Elsewhere, id: str) -> Submission:
    """A job that was handed over there, to be followed."""
    return RayJobSubmission(api=api, id=id) if isinstance(api, RayJobs) else Submission(api=api, id=id)


def require_store_here(spec: Spec, api: Elsewhere) -> None:
    """Raises ResourceError where this machine means another store by the spec's URI than the cluster does.

    A cluster that doesn't answer within seconds is not asked.
    """
    if isinstance(api, RayJobs) and api.answers():
        _place(api).require(spec.store, api.api.namespace)


def store_here(spec: Spec, api: Elsewhere) -> Store | None:
    """The spec's store, not to be waited for; None where this machine means another one by its URI, or may do so."""
    from raymill.store import Store

    with contextlib.suppress(MachineError):
        if not isinstance(api, RayJobs) or _place(api).has(spec.store):
            return Store(spec.store).at_once()
    return None


def _place(api: RayJobs) -> StorePlace:
    """Where the cluster's store is; for somebody who may not know that, where this machine looks."""
    with contextlib.suppress(ResourceError):
        return api.store_place()
    return StorePlace.of(None)
