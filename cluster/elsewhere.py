"""Where `--on` points: a cluster's Jobs API at an address, or Kubernetes. Both know jobs by their ids."""

from __future__ import annotations

from typing import TypeAlias

from cluster.grammar import KUBERNETES
from cluster.jobs_api import JobsApi
from cluster.kubernetes_api import KubernetesApi
from cluster.ray_job_submission import RayJobSubmission
from cluster.ray_jobs import RayJobs
from cluster.submission import Submission
from raymill.console import Console

Elsewhere: TypeAlias = JobsApi | RayJobs


def elsewhere(address: str, console: Console) -> Elsewhere:
    """What answers for jobs there. Raises ResourceError where there is no Kubernetes to ask."""
    return RayJobs(KubernetesApi.connect(), console.say) if address == KUBERNETES else JobsApi(address)


def submission_of(api: Elsewhere, id: str) -> Submission:
    """A job that was handed over there, to be followed."""
    return RayJobSubmission(api=api, id=id) if isinstance(api, RayJobs) else Submission(api=api, id=id)
