"""The RayJob of a command."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from cluster.ray_job import JobOrder, job_objects, remarks
from cluster.ray_template import RayTemplate
from raymill.errors import ResourceError
from tests.ray_clusters import cluster, group, settings, spec_in_a_bucket, template

ID = "far-train-20261126-120000-abcd"
GPU = {"nvidia.com/gpu": "2"}


def rendered(
    command: str = "train", standing: str | None = None, groups: Any = (), queue: str = "", **changes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ConfigMap and the RayJob of a spec."""
    order = JobOrder(spec=spec_in_a_bucket(**changes), command=command, options=[], id=ID, standing=standing)
    files, ray_job = job_objects(order, template(*groups), settings(queue=queue))
    return files, ray_job


def most_pods(ray_job: dict[str, Any]) -> dict[str, int]:
    return {g["groupName"]: g["maxReplicas"] for g in ray_job["spec"]["rayClusterSpec"]["workerGroupSpecs"]}


def test_equal_orders_are_equal_objects_and_leave_the_template_as_it_is() -> None:
    made_of = template()
    before = yaml.safe_dump(made_of.cluster)
    order = JobOrder(spec=spec_in_a_bucket(), command="train", options=[], id=ID)
    assert job_objects(order, made_of, settings()) == job_objects(order, made_of, settings())
    assert yaml.safe_dump(made_of.cluster) == before


def test_a_job_goes_by_its_id_and_ends_by_the_overlays_deadlines() -> None:
    files, ray_job = rendered()
    spec, metadata = ray_job["spec"], ray_job["metadata"]
    assert files["metadata"]["name"] == metadata["name"] == ID
    assert (spec["jobId"], metadata["annotations"]["raymill/job-id"]) == (ID, ID)
    assert spec["entrypoint"] == "python -m jobs.train spec.yaml --json"
    environment = yaml.safe_load(spec["runtimeEnvYAML"])
    assert environment["working_dir"] == "/job"
    assert environment["env_vars"]["RAYMILL_JOB_ID"] == ID
    assert all(isinstance(value, str) for value in environment["env_vars"].values())
    assert (spec["activeDeadlineSeconds"], spec["preRunningDeadlineSeconds"]) == (7200, 600)
    assert (spec["shutdownAfterJobFinishes"], spec["ttlSecondsAfterFinished"]) == (True, 60)
    assert (spec["submissionMode"], spec["backoffLimit"]) == ("K8sJobMode", 0)


def test_the_pod_that_hands_over_is_as_locked_as_the_head_and_has_no_token() -> None:
    pod = rendered()[1]["spec"]["submitterPodTemplate"]
    (container,) = pod["spec"]["containers"]
    assert (pod["spec"]["securityContext"], pod["spec"]["restartPolicy"]) == ({"runAsNonRoot": True}, "Never")
    assert container["securityContext"] == {"readOnlyRootFilesystem": True}
    assert container["image"] == "raymill:0.1.0"
    assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["serviceAccountName"] == "ray-submitter"
    assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
    assert "command" not in container  # KubeRay's own, which finds a job that it has handed over
    assert "envFrom" not in container


def test_pods_come_from_zero_and_what_the_autoscaler_has_written_is_left_out() -> None:
    spec = rendered()[1]["spec"]["rayClusterSpec"]
    (workers,) = spec["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"]) == (0, 8)
    assert not {"replicas", "scaleStrategy"} & workers.keys()
    assert "upgradeStrategy" not in spec  # KubeRay refuses it in a cluster that it makes
    assert workers["template"]["metadata"]["labels"] == {
        "app.kubernetes.io/component": "worker",
        "raymill/spec": "far",
    }


def test_a_job_runs_where_the_standing_cluster_sleeps() -> None:
    asleep = RayTemplate.of(cluster(suspend=True), "here")
    order = JobOrder(spec=spec_in_a_bucket(), command="train", options=[], id=ID)
    assert "suspend" not in job_objects(order, asleep, settings())[1]["spec"]["rayClusterSpec"]


def test_a_jobs_head_takes_no_store_of_another_clusters_state() -> None:
    made_of = RayTemplate.of(cluster(gcsFaultToleranceOptions={"redisAddress": "redis:6379"}), "here")
    order = JobOrder(spec=spec_in_a_bucket(), command="train", options=[], id=ID)
    assert "gcsFaultToleranceOptions" not in job_objects(order, made_of, settings())[1]["spec"]["rayClusterSpec"]


@pytest.mark.parametrize(
    ("changes", "pods"),
    [
        ({}, 8),
        ({"limits": {"cpus": 8}}, 2),
        ({"limits": {"cpus": 400}}, 8),
        ({"limits": {"cpus": 9.5}, "train": {"workers": 3, "cpus_per_worker": 3}}, 3),
    ],
)
def test_limits_of_the_spec_bound_the_pods_within_the_overlays_bound(changes: dict[str, Any], pods: int) -> None:
    assert most_pods(rendered(**changes)[1]) == {"cpu": pods}


def test_gpu_pods_are_there_for_workers_that_ask_for_them_only() -> None:
    groups = (group("cpu", "4", 8), group("gpu", "8", 5, **GPU))
    assert most_pods(rendered(groups=groups)[1]) == {"cpu": 8}
    three = {"workers": 3, "gpus_per_worker": 1}
    assert most_pods(rendered(groups=groups, train=three)[1]) == {"cpu": 8, "gpu": 2}
    assert most_pods(rendered("prepare", groups=groups, train=three)[1]) == {"cpu": 8}


def test_a_worker_that_fits_no_pod_is_refused_on_a_standing_cluster_too() -> None:
    for standing in (None, "raymill"):
        with pytest.raises(ResourceError, match="One training worker asks for 5 CPUs"):
            rendered(standing=standing, train={"cpus_per_worker": 5})
    rendered("prepare", train={"cpus_per_worker": 5})


def test_a_standing_cluster_is_chosen_by_its_name_and_outlives_the_job() -> None:
    spec = rendered(standing="raymill", queue="team-a", priority="high")[1]["spec"]
    assert spec["clusterSelector"] == {"ray.io/cluster": "raymill"}
    assert not {"rayClusterSpec", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished"} & spec.keys()


def test_a_queue_and_a_priority_are_labels_and_a_scaled_cluster_is_elastic() -> None:
    metadata = rendered(queue="team-a", priority="high")[1]["metadata"]
    assert metadata["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert metadata["labels"]["kueue.x-k8s.io/priority-class"] == "high"
    assert metadata["annotations"]["kueue.x-k8s.io/elastic-job"] == "true"


def test_a_queued_job_begins_with_the_workers_without_which_it_would_hold_a_head_for_nothing() -> None:
    groups = (group("cpu", "4", 8), group("gpu", "8", 5, **GPU))

    def begins(command: str = "train", queue: str = "team-a", **train: Any) -> dict[str, Any]:
        found = rendered(command, groups=groups, queue=queue, train=train)[1]["spec"]["rayClusterSpec"]
        assert all(g.get("replicas", 0) == g["minReplicas"] for g in found["workerGroupSpecs"])
        return {g["groupName"]: (g["minReplicas"], g["maxReplicas"]) for g in found["workerGroupSpecs"]}

    assert begins(queue="") == {"cpu": (0, 8)}
    assert begins() == {"cpu": (1, 8)}
    assert begins(workers={"min": 3, "max": 6}, cpus_per_worker=2) == {"cpu": (2, 8)}
    assert begins("prepare", workers=6, cpus_per_worker=2) == {"cpu": (1, 8)}
    assert begins(workers={"min": 3, "max": 6}, gpus_per_worker=1) == {"cpu": (1, 8), "gpu": (2, 3)}
    unequal = (group("cpu", "4", 8), group("small", "1", 8))
    both = rendered(groups=unequal, queue="a", train={"workers": 3, "cpus_per_worker": 2})[1]["spec"]["rayClusterSpec"]
    assert [g["minReplicas"] for g in both["workerGroupSpecs"]] == [2, 1]
    equal = (group("cpu", "4", 2), group("more", "4", 8))
    both = rendered(groups=equal, queue="a", train={"workers": 6, "cpus_per_worker": 2})[1]["spec"]["rayClusterSpec"]
    assert [g["minReplicas"] for g in both["workerGroupSpecs"]] == [2, 1]
    limited = rendered(queue="a", limits={"cpus": 4}, train={"workers": 2})[1]["spec"]["rayClusterSpec"]
    assert [(g["minReplicas"], g["maxReplicas"]) for g in limited["workerGroupSpecs"]] == [(1, 1)]


@pytest.mark.parametrize("rest", [{"priority": "high"}, {"queue": "team-a", "standing": "raymill"}])
def test_without_a_queue_of_its_own_a_job_has_nothing_of_kueue(rest: dict[str, Any]) -> None:
    metadata = rendered(**rest)[1]["metadata"]
    assert not [key for key in (*metadata["labels"], *metadata["annotations"]) if "kueue" in key]


def test_a_priority_that_nobody_heeds_is_said() -> None:
    def said(queue: str, standing: str | None = None, **changes: Any) -> list[str]:
        order = JobOrder(spec=spec_in_a_bucket(**changes), command="train", options=[], id=ID, standing=standing)
        return remarks(order, settings(queue=queue))

    assert said("") == said("team-a", priority="high") == []
    assert said("", priority="high") == ["priority: high means nothing here, since the overlay names no queue"]
    assert "standing cluster" in said("team-a", "raymill", priority="high")[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"enableInTreeAutoscaling": False}, "isn't scaled"),
        ({"workerGroupSpecs": [group("large", "4", 8)]}, "has no worker group cpu"),
    ],
)
def test_a_cluster_that_no_job_can_be_made_of_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ResourceError, match=said):
        template(**changed)
