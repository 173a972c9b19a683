"""The status of a RayJob as KubeRay writes it: what became of the job, and what one that doesn't run yet waits for.

It reads objects that it is given, and asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from cluster.jobs_api import Job
from cluster.object_names import COMMAND, JOB_ID, SPEC
from cluster.pod_status import has_started, in_the_way_of

Object = Mapping[str, Any]
_ENDED = ("Complete", "Failed", "ValidationFailed")
_SUSPENDED = ("Suspending", "Suspended")
_EXIT_CODE = re.compile(r"exit code (\d+)")


def job_of(ray_job: Object) -> Job:
    """The job as a cluster's Jobs API would tell it. One has ended when KubeRay says so, with its log complete."""
    status, metadata = ray_job.get("status") or {}, ray_job["metadata"]
    told, info = metadata.get("labels") or {}, status.get("rayJobInfo") or {}
    message = status.get("message") or ""
    code = _EXIT_CODE.search(message)
    return Job(
        id=(metadata.get("annotations") or {}).get(JOB_ID, metadata["name"]),
        status=_state(status),
        message=f"{status['reason']}: {message}" if status.get("reason") not in (None, "", "AppFailed") else message,
        exit_code=int(code[1]) if code else None,
        started_s=_seconds(info.get("startTime") or status.get("startTime")),
        ended_s=_seconds(info.get("endTime") or status.get("endTime")),
        metadata={"raymill": told[SPEC], "command": told.get(COMMAND, "")} if SPEC in told else {},
    )


def is_suspended(ray_job: Object) -> bool:
    return (
        bool(ray_job["spec"].get("suspend")) or (ray_job.get("status") or {}).get("jobDeploymentStatus") in _SUSPENDED
    )


def cluster_of(ray_job: Object) -> str | None:
    """The name of the Ray cluster that it has now."""
    return (ray_job.get("status") or {}).get("rayClusterName") or None


def is_seen(ray_job: Object) -> bool:
    """Whether an operator has looked at it."""
    return bool((ray_job.get("status") or {}).get("jobDeploymentStatus"))


def newest_submitter(pods: Iterable[Object]) -> Object | None:
    """The pod that has handed the job over last, and follows it."""
    return max(filter(has_started, pods), key=lambda pod: str(pod["metadata"].get("creationTimestamp")), default=None)


def what_it_waits_for(
    ray_job: Object, pods: Sequence[Object], submitters: Sequence[Object], quota: str, warnings: Sequence[str]
) -> str:
    """What is in the way of a job, in a sentence's end; nothing where nothing is known to be.

    `pods` are its cluster's, `quota` what Kueue says, `warnings` the newest events about it.
    """
    if is_suspended(ray_job):
        return f"room in its queue{f': {quota}' if quota else ''}"
    for pod in (*pods, *submitters):
        if reason := in_the_way_of(pod):
            return f"the pod {pod['metadata']['name']}: {reason}"
    if any(map(has_started, submitters)):
        return ""
    if warnings:
        return warnings[-1]
    state = (ray_job.get("status") or {}).get("jobDeploymentStatus")
    return "the pod that hands it over" if state == "Running" else "its Ray cluster"


def quota_of(workloads: Iterable[Object], uid: str) -> str:
    """Why Kueue has given the owner no quota yet, in its own words."""
    for workload in workloads:
        owners = workload["metadata"].get("ownerReferences") or ()
        if any(owner["uid"] == uid for owner in owners):
            conditions = (workload.get("status") or {}).get("conditions") or ()
            return next(
                (c["message"] for c in conditions if (c["type"], c["status"]) == ("QuotaReserved", "False")), ""
            )
    return ""


def _state(status: Object) -> str:
    deployment, job = status.get("jobDeploymentStatus"), status.get("jobStatus")
    if deployment == "Complete":
        return str(job)
    if deployment in _ENDED:
        return "FAILED"
    if deployment in _SUSPENDED:
        return "SUSPENDED"
    return "RUNNING" if deployment == "Running" else "PENDING"


def _seconds(time: str | None) -> float | None:
    return datetime.fromisoformat(time).timestamp() if time else None
