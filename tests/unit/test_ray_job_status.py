"""What KubeRay's status of a RayJob means."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.pod_status import has_started, in_the_way_of
from cluster.ray_job_status import is_suspended, job_of, newest_submitter, quota_of, what_it_waits_for

METADATA = {
    "name": "far-train",
    "uid": "u",
    "annotations": {"raymill/job-id": "far-train-1"},
    "labels": {"raymill/spec": "far", "raymill/command": "train"},
}
MESSAGE = "Job entrypoint command failed with exit code 3, last available logs (truncated to 20,000 chars):\nx"


def ray_job(suspend: bool = False, **status: Any) -> dict[str, Any]:
    return {"metadata": METADATA, "spec": {"suspend": suspend}, "status": status}


def pod(name: str, phase: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"phase": phase, **status}}


UNPLACED = pod(
    "far-cpu-1",
    "Pending",
    conditions=[{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 3 Insufficient cpu."}],
)
NO_IMAGE = pod(
    "far-head-1",
    "Pending",
    containerStatuses=[{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}],
)
STARTING = pod("far-head-1", "Pending", containerStatuses=[{"state": {"waiting": {"reason": "ContainerCreating"}}}])


@pytest.mark.parametrize(
    ("status", "state", "ended"),
    [
        ({}, "PENDING", False),
        ({"jobDeploymentStatus": "Initializing", "jobStatus": ""}, "PENDING", False),
        ({"jobDeploymentStatus": "Suspended"}, "SUSPENDED", False),
        ({"jobDeploymentStatus": "Running", "jobStatus": "SUCCEEDED"}, "RUNNING", False),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, "SUCCEEDED", True),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, "STOPPED", True),
        ({"jobDeploymentStatus": "Failed", "jobStatus": "FAILED"}, "FAILED", True),
        ({"jobDeploymentStatus": "Failed", "jobStatus": "RUNNING"}, "FAILED", True),
        ({"jobDeploymentStatus": "ValidationFailed"}, "FAILED", True),
    ],
)
def test_a_job_has_ended_when_kuberay_says_so_and_its_log_is_whole(
    status: dict[str, Any], state: str, ended: bool
) -> None:
    job = job_of(ray_job(**status))
    assert (job.status, job.has_ended) == (state, ended)
    assert (job.id, job.metadata) == ("far-train-1", {"raymill": "far", "command": "train"})


def test_an_exit_code_is_in_rays_message_and_kuberays_reason_before_its_own() -> None:
    job = job_of(ray_job(jobDeploymentStatus="Failed", jobStatus="FAILED", reason="AppFailed", message=MESSAGE))
    assert (job.exit_code, job.message) == (3, MESSAGE)
    late = job_of(ray_job(jobDeploymentStatus="Failed", reason="DeadlineExceeded", message="It has passed."))
    assert (late.exit_code, late.message) == (None, "DeadlineExceeded: It has passed.")


def test_times_are_the_drivers_where_they_are_known() -> None:
    info = {"startTime": "2026-11-26T12:00:10Z", "endTime": "2026-11-26T12:00:20Z"}
    assert job_of(ray_job(startTime="2026-11-26T12:00:00Z", rayJobInfo=info)).started_s == 1795694410
    job = job_of(ray_job(startTime="2026-11-26T12:00:00Z"))
    assert (job.started_s, job.ended_s) == (1795694400, None)


def test_a_ray_job_of_somebody_else_is_none_of_raymills() -> None:
    assert job_of({"metadata": {"name": "theirs"}, "spec": {}}).metadata == {}


def test_a_pod_says_what_is_in_its_way() -> None:
    assert in_the_way_of(UNPLACED) == "0/3 nodes are available: 3 Insufficient cpu."
    assert in_the_way_of(NO_IMAGE) == "ImagePullBackOff: no such image"
    assert in_the_way_of(STARTING) == in_the_way_of(pod("a", "Running")) == ""
    assert [has_started(pod("a", phase)) for phase in ("Pending", "Running", "Failed")] == [False, True, True]


def test_what_a_job_waits_for_is_the_nearest_that_is_in_its_way() -> None:
    def waits(job: dict[str, Any], pods: Any = (), submitters: Any = (), quota: str = "", warnings: Any = ()) -> str:
        return what_it_waits_for(job, pods, submitters, quota, warnings)

    starting, running = ray_job(jobDeploymentStatus="Initializing"), ray_job(jobDeploymentStatus="Running")
    assert is_suspended(ray_job(suspend=True))
    assert waits(ray_job(suspend=True), quota="no room") == "room in its queue: no room"
    assert waits(ray_job(jobDeploymentStatus="Suspended")) == "room in its queue"
    assert waits(starting) == "its Ray cluster"
    assert waits(starting, [NO_IMAGE]) == "the pod far-head-1: ImagePullBackOff: no such image"
    assert waits(starting, [STARTING], warnings=["exceeded quota: raymill"]) == "exceeded quota: raymill"
    assert waits(running) == "the pod that hands it over"
    assert waits(running, submitters=[pod("s", "Running")], warnings=["an old one"]) == ""
    assert waits(running, [UNPLACED], [pod("s", "Running")]).startswith("the pod far-cpu-1: 0/3 nodes")


def test_kueues_reason_is_that_of_the_jobs_own_workload() -> None:
    def workload(uid: str, message: str) -> dict[str, Any]:
        conditions = [{"type": "QuotaReserved", "status": "False", "message": message}]
        return {"metadata": {"ownerReferences": [{"uid": uid}]}, "status": {"conditions": conditions}}

    assert quota_of([workload("other", "theirs"), workload("u", "ours")], "u") == "ours"
    assert quota_of([], "u") == quota_of([{"metadata": {"ownerReferences": [{"uid": "u"}]}}], "u") == ""


def test_the_newest_pod_that_has_a_log_follows_the_job() -> None:
    def at(name: str, phase: str, time: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "creationTimestamp": time}, "status": {"phase": phase}}

    pods = [at("a", "Failed", "2026-11-26T12:00:00Z"), at("b", "Running", "2026-11-26T12:01:00Z")]
    newest = newest_submitter([*pods, at("c", "Pending", "2026-11-26T12:02:00Z")])
    assert newest is not None and newest["metadata"]["name"] == "b"
    assert newest_submitter([]) is None
