"""Jobs: RayJobs that the API server takes, and the operator or Kueue then refuses, or leaves behind.

The rules of refusal are those of KubeRay's `controllers/ray/utils/validation.go` at v1.7.0.
"""

from __future__ import annotations

from typing import Any

from tests.k8s.builds import Build, Object, label
from tests.k8s.pods import pods, ray_specs
from tests.k8s.quantities import number
from tests.k8s.quota import asked, count
from tests.k8s.settings import NAME as SETTINGS

_SUBMISSION = "K8sJobMode"


def bad_submissions(build: Build) -> list[str]:
    """Traps 1, 2 and 6: RayJobs whose submitter is refused, or whose mode is none."""
    problems = []
    for job, spec in _jobs(build):
        if spec.get("submissionMode") != _SUBMISSION:
            problems.append(f"{label(job)}: its submissionMode is {spec.get('submissionMode')}, not {_SUBMISSION}")
        containers = ((spec.get("submitterPodTemplate") or {}).get("spec") or {}).get("containers") or ()
        if not containers:
            problems.append(f"{label(job)}: it has no submitterPodTemplate, so *restricted* refuses its submitter")
        if ((spec.get("submitterPodTemplate") or {}).get("spec") or {}).get("restartPolicy") not in (
            "Never",
            "OnFailure",
        ):
            problems.append(f"{label(job)}: its submitter has no restartPolicy for a job")
    return problems


def endless_jobs(build: Build) -> list[str]:
    """Trap 6 and deadlines: RayJobs that outlive their end, that try again by themselves, or that nothing stops."""
    problems = []
    for job, spec in _jobs(build):
        if "clusterSelector" not in spec and spec.get("shutdownAfterJobFinishes") is not True:
            problems.append(f"{label(job)}: shutdownAfterJobFinishes isn't true, so that its cluster stays")
        if spec.get("ttlSecondsAfterFinished") and not spec.get("shutdownAfterJobFinishes"):
            problems.append(f"{label(job)}: ttlSecondsAfterFinished without shutdownAfterJobFinishes is refused")
        if spec.get("backoffLimit") != 0:
            problems.append(f"{label(job)}: its backoffLimit is {spec.get('backoffLimit')}: raymill itself tries again")
        wanted = ["activeDeadlineSeconds", "preRunningDeadlineSeconds", "jobId", "entrypoint"]
        wanted += [] if "clusterSelector" in spec else ["ttlSecondsAfterFinished"]
        problems += [f"{label(job)}: it has no {word}" for word in wanted if not spec.get(word)]
    return problems


def unclear_clusters(build: Build) -> list[str]:
    """RayJobs with no cluster or two, and clusters that carry what is for others."""
    problems = []
    for job, spec in _jobs(build):
        if bool(spec.get("rayClusterSpec")) == bool(spec.get("clusterSelector")):
            problems.append(f"{label(job)}: it has to have either rayClusterSpec or clusterSelector")
        if spec.get("clusterSelector") and "ray.io/cluster" not in spec["clusterSelector"]:
            problems.append(f"{label(job)}: its clusterSelector names no ray.io/cluster")
        if spec.get("suspend"):
            problems.append(f"{label(job)}: it is suspended, which is for Kueue to do")
    for each, spec in ray_specs(build.objects):
        stands = each["kind"] == "RayCluster"
        if not stands and "upgradeStrategy" in spec:
            problems.append(f"{label(each)}: upgradeStrategy is refused in a cluster that a RayJob or RayService makes")
        if stands and not (spec.get("upgradeStrategy") or {}).get("type"):
            problems.append(f"{label(each)}: without an upgradeStrategy a changed spec does nothing")
    return problems


def useless_state(build: Build) -> list[str]:
    """RayJobs whose cluster keeps in Redis what nobody comes back for: a driver dies with its head."""
    specs = [(job, spec.get("rayClusterSpec") or {}) for job, spec in _jobs(build)]
    return [f"{label(job)}: its cluster keeps its state" for job, spec in specs if "gcsFaultToleranceOptions" in spec]


def unfit_for_queues(build: Build) -> list[str]:
    """RayJobs that Kueue refuses, or would never admit, because a queue doesn't count what their pods ask for."""
    problems = []
    for job, spec in _jobs(build):
        metadata = job["metadata"]
        queue = (metadata.get("labels") or {}).get("kueue.x-k8s.io/queue-name")
        if queue is None:
            if "clusterSelector" not in spec and _queue_of(build):
                problems.append(f"{label(job)}: it goes past the queue {_queue_of(build)}")
            continue
        if "clusterSelector" in spec:
            problems.append(f"{label(job)}: a job on a standing cluster can't be queued")
        if (metadata.get("annotations") or {}).get("kueue.x-k8s.io/elastic-job") != "true":
            problems.append(f"{label(job)}: it is scaled, and not annotated kueue.x-k8s.io/elastic-job: 'true'")
        given = _given(build, queue)
        for resource, amount in _wanted(job).items():
            if amount > given.get(resource, -1.0):
                problems.append(
                    f"{label(job)}: it wants {amount:g} of {resource}, the queue {queue} has {given.get(resource)}"
                )
    return problems


def _queue_of(build: Build) -> str:
    """The queue that the settings send jobs to, or nothing."""
    maps = {each["metadata"]["name"]: each.get("data") or {} for each in build.there if each["kind"] == "ConfigMap"}
    return str(maps.get(SETTINGS, {}).get("queue", ""))


def _wanted(job: Object) -> dict[str, float]:
    """What a job begins with: its head, its submitter, and one worker of each group."""
    found = pods([job])
    names = {n for pod in found for c in pod.main for n in (c.get("resources") or {}).get("requests") or ()}
    return {name: sum(asked(pod, "requests", name) * count(pod) for pod in found) for name in names}


def _given(build: Build, queue: str) -> dict[str, float]:
    """The quota of a LocalQueue's ClusterQueue itself, without what it may borrow."""
    queues = [each for each in build.there if each["kind"] == "LocalQueue" and each["metadata"]["name"] == queue]
    names = {each["spec"]["clusterQueue"] for each in queues}
    found = [each for each in build.there if each["kind"] == "ClusterQueue" and each["metadata"]["name"] in names]
    flavors = [flavor for each in found for group in each["spec"]["resourceGroups"] for flavor in group["flavors"]]
    return {given["name"]: number(given["nominalQuota"]) for flavor in flavors for given in flavor["resources"]}


def _jobs(build: Build) -> list[tuple[Object, dict[str, Any]]]:
    return [(each, each["spec"]) for each in build.of_kind("RayJob")]
