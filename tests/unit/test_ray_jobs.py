"""Jobs as RayJobs: applied, listed, read and ended, against a Kubernetes in memory."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.ray_job import JobOrder
from cluster.ray_jobs import RayJobs
from cluster.submission import find
from raymill.errors import ResourceError
from tests.fake_kubernetes import FakeKubernetes, with_the_base
from tests.ray_clusters import spec_in_a_bucket

ID = "far-train-20261126-120000-abcd"
RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING", "rayClusterName": "far-1"}


def jobs_in(fake: FakeKubernetes, said: list[str] | None = None) -> RayJobs:
    return RayJobs(fake, ([] if said is None else said).append)  # type: ignore[arg-type]


def submitted(fake: FakeKubernetes, id: str = ID, **status: Any) -> RayJobs:
    """A job in a state, with the pod of its head and the one that handed it over."""
    jobs = jobs_in(fake)
    jobs.submit(JobOrder(spec=spec_in_a_bucket(), command="train", options=[], id=id), jobs.overlay())
    fake.objects[("RayJob", id)]["status"] = status
    head = {"labels": {"ray.io/cluster": "far-1", "ray.io/node-type": "head"}}
    containers = {"containers": [{"name": "ray-head"}, {"name": "autoscaler"}]}
    fake.add("Pod", "far-1-head", metadata=head, spec=containers, status={"phase": "Running"})
    follows = {"labels": {"batch.kubernetes.io/job-name": id}}
    fake.add("Pod", f"{id}-x", metadata=follows, status={"phase": "Running"})
    fake.logs[f"{id}-x"] = [["one", "two"]]
    return jobs


def test_the_files_go_with_their_job() -> None:
    fake = with_the_base()
    submitted(fake)
    kinds = [made["kind"] for made in fake.applied]
    assert kinds == ["ConfigMap", "RayJob", "ConfigMap"]
    (owner,) = fake.applied[-1]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("RayJob", ID, f"uid-of-{ID}")
    assert fake.applied[-1]["data"] == fake.applied[0]["data"]


def test_the_files_of_a_job_that_is_refused_do_not_stay() -> None:
    fake = with_the_base(refused={"apply RayJob"})
    with pytest.raises(ResourceError, match="apply RayJob is forbidden"):
        submitted(fake)
    assert fake.deleted == [("ConfigMap", ID)]


def test_without_the_base_it_is_said_what_is_missing() -> None:
    with pytest.raises(ResourceError, match="the namespace raymill has no RayCluster raymill"):
        jobs_in(FakeKubernetes()).overlay()


def test_jobs_are_found_by_the_specs_name_and_id() -> None:
    jobs = submitted(fake := with_the_base(), **RUNNING)
    fake.add("RayJob", "theirs", metadata={"labels": {}}, spec={})
    assert [job.id for job in jobs.jobs()] == [ID]
    assert find(jobs, "far", None) == find(jobs, "far", ID) == jobs.job(ID)  # type: ignore[arg-type]
    assert find(jobs, "near", None) is None and jobs.job("far-train-0") is None  # type: ignore[arg-type]


def test_a_log_is_the_newest_pods_and_nothing_before_there_is_one() -> None:
    jobs = submitted(fake := with_the_base(), **RUNNING)
    assert jobs.log(ID) == "one\ntwo\n"
    del fake.objects[("Pod", f"{ID}-x")]
    assert jobs.log(ID) == ""


def test_a_job_is_asked_to_end_in_the_pod_of_its_head() -> None:
    jobs = submitted(fake := with_the_base(), **RUNNING)
    jobs.stop(ID)
    (command,) = fake.executed
    assert command[:5] == ("far-1-head", "ray-head", "ray", "job", "stop")
    assert command[-1] == ID
    assert fake.deleted == []


def test_where_no_command_may_be_run_the_ray_job_is_deleted_and_that_is_said() -> None:
    fake, said = with_the_base(refused={"exec"}), list[str]()
    submitted(fake, **RUNNING)
    jobs_in(fake, said).stop(ID)
    assert fake.deleted == [("RayJob", ID), ("ConfigMap", ID)]
    assert said == [
        "Kubernetes refuses: exec is forbidden. So the RayJob is deleted, which asks its driver to end, too."
    ]


@pytest.mark.parametrize("state", ["", "Initializing", "Suspended"])
def test_a_job_that_has_no_driver_yet_is_deleted(state: str) -> None:
    jobs = submitted(fake := with_the_base(), jobDeploymentStatus=state, rayClusterName="far-1")
    jobs.stop(ID)
    assert (fake.executed, fake.deleted) == ([], [("RayJob", ID), ("ConfigMap", ID)])
    jobs.stop(ID)  # it is gone, which is fine
    assert len(fake.deleted) == 2


def test_the_newest_twenty_of_a_name_stay_and_none_that_runs_goes() -> None:
    fake = with_the_base()
    for number in range(25):
        state = "Running" if number == 0 else "Complete"
        submitted(fake, f"far-train-20261126-1200{number:02}-abcd", jobDeploymentStatus=state, jobStatus="SUCCEEDED")
        fake.objects[("RayJob", f"far-train-20261126-1200{number:02}-abcd")]["metadata"]["creationTimestamp"] = (
            f"2026-11-26T12:00:{number:02}Z"
        )
    gone = [f"far-train-20261126-1200{n:02}-abcd" for n in (1, 2, 3)]
    assert fake.deleted == [(kind, name) for name in gone for kind in ("RayJob", "ConfigMap")]


def test_what_a_job_waits_for_is_looked_for_as_far_as_it_may_be_seen() -> None:
    jobs = submitted(fake := with_the_base(), jobDeploymentStatus="Initializing", rayClusterName="far-1")
    del fake.objects[("Pod", f"{ID}-x")]
    for when, message in (("12:00:05", "the newest"), ("12:00:01", "an older one")):
        event = {"involvedObject": {"name": "far-1"}, "message": message, "lastTimestamp": f"2026-11-26T{when}Z"}
        fake.add("Event", message, **event)
    ray_job = jobs.ray_job(ID)
    assert ray_job is not None
    assert jobs.waits_for(ray_job) == "the newest"
    fake.refused |= {"Event", "Workload"}
    assert jobs.waits_for(ray_job) == "its Ray cluster"


def test_it_answers_where_it_refuses_and_not_where_it_is_away() -> None:
    assert jobs_in(with_the_base()).answers()
    assert jobs_in(with_the_base(refused={"ConfigMap"})).answers()
    assert not jobs_in(with_the_base(away=True)).answers()
