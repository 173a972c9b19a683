"""The RayJob of a command: its own cluster, made of the template, or a standing one, and a pod that hands it over.

Retries are raymill's own (`cluster.retry`), inside the job: KubeRay makes one attempt, since a second would be a second
cluster. The pod that hands over may fail and come again; it finds its job by the id.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cluster.job_files import JobFiles
from cluster.job_settings import JobSettings
from cluster.manifest_text import as_text
from cluster.object_names import COMMAND, JOB_ID, SPEC, job_name, labels
from cluster.preflight import asks_of
from cluster.ray_template import RayTemplate
from cluster.side_pod import FILES_AT, side_pod
from cluster.submission import entrypoint_of, environment_of
from cluster.worker_groups import WorkerGroup, require_room
from raymill.spec import Spec

LAST_STEPS = {"run": "promote"}  # the endpoint is an object of its own
_QUEUE, _PRIORITY = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"
_ELASTIC = {"kueue.x-k8s.io/elastic-job": "true"}  # else Kueue refuses a cluster that is scaled
_HANDED_OVER_AGAIN = 2
_SUBMITTER = "ray-submitter"  # an account that may nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """A command of a spec, with its own options, under an id; `standing` names a cluster that is there already."""

    spec: Spec
    command: str
    options: Sequence[str]
    id: str
    standing: str | None = None

    @property
    def name(self) -> str:
        return job_name(self.id)

    @property
    def labels(self) -> dict[str, str]:
        return labels("job", self.spec.name) | {COMMAND: self.command}


def job_objects(order: JobOrder, template: RayTemplate, settings: JobSettings) -> list[dict[str, Any]]:
    """The ConfigMap with the job's files, and the RayJob. Raises ResourceError, SpecError for what can't work."""
    files = JobFiles.of(order.spec, order.name)
    return [
        files.config_map(template.namespace, order.labels, fixed=True),
        _ray_job(order, template, settings, files),
    ]


def remarks(order: JobOrder, settings: JobSettings) -> list[str]:
    """What a spec asks for and a job doesn't get here."""
    if order.spec.priority is None or (settings.queue and order.standing is None):
        return []
    why = "a standing cluster has no queue" if order.standing is not None else "the overlay names no queue"
    return [f"priority: {order.spec.priority} means nothing here, since {why}"]


def _ray_job(order: JobOrder, template: RayTemplate, settings: JobSettings, files: JobFiles) -> dict[str, Any]:
    queue, elastic = _queue(order, settings)
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {
            "name": order.name,
            "namespace": template.namespace,
            "labels": order.labels | queue,
            "annotations": {JOB_ID: order.id} | elastic,
        },
        "spec": {
            "jobId": order.id,
            "entrypoint": entrypoint_of(order.command, order.options),
            "metadata": {"raymill": order.spec.name, "command": order.command},
            "runtimeEnvYAML": as_text({"working_dir": FILES_AT, "env_vars": environment_of(order.id)}),
            "submissionMode": "K8sJobMode",
            "submitterPodTemplate": _submitter(order, template, files),
            "submitterConfig": {"backoffLimit": _HANDED_OVER_AGAIN},
            "backoffLimit": 0,
            "activeDeadlineSeconds": settings.deadline_s,
            "preRunningDeadlineSeconds": settings.wait_s,
            **_cluster(order, template, settings),
        },
    }


def _queue(order: JobOrder, settings: JobSettings) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations for Kueue, which looks after clusters, not after work on one that stands."""
    if not settings.queue or order.standing is not None:
        return {}, {}
    priority = {_PRIORITY: order.spec.priority} if order.spec.priority else {}
    return {_QUEUE: settings.queue} | priority, _ELASTIC


def _submitter(order: JobOrder, template: RayTemplate, files: JobFiles) -> dict[str, Any]:
    pod = side_pod("submitter", order.spec.name, template, files, {})
    pod["spec"]["serviceAccountName"] = _SUBMITTER
    return pod


def _cluster(order: JobOrder, template: RayTemplate, settings: JobSettings) -> dict[str, Any]:
    last = LAST_STEPS.get(order.command, order.command)
    require_room(template.groups, template.head_resources, asks_of(order.spec, last), template.place)
    if order.standing is not None:
        return {"clusterSelector": {"ray.io/cluster": order.standing}}
    groups = [(group, most) for group in template.groups if (most := _most_pods(order.spec, last, group))]
    least = _least_pods(order.spec, last, [group for group, _ in groups]) if settings.queue else {}
    pods = {group.name: (least.get(group.name, 0), most) for group, most in groups}
    spec = template.spec(pods, {SPEC: order.spec.name})
    spec.pop("gcsFaultToleranceOptions", None)  # a job dies with its head, where its driver is
    if settings.queue:
        for group in spec["workerGroupSpecs"]:
            group["replicas"] = group["minReplicas"]  # by which Kueue counts; its default is none
    return {
        "rayClusterSpec": spec,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": settings.ttl_s,
    }


def _least_pods(spec: Spec, last: str, groups: Sequence[WorkerGroup]) -> dict[str, int]:
    """How many pods of each group a job in a queue has from its admission to its end: one, or for all least workers.

    With a head alone it would be admitted where its workers never could be, and two that have a head each would wait
    for each other's.
    """
    recipe = spec.train
    least = {group.name: 1 for group in groups}
    left = recipe.least_workers if any(ask.what == "training worker" for ask in asks_of(spec, last)) else 0
    for group in groups:
        room = group.room_for(recipe.cpus_asked, recipe.gpus_per_worker)
        if left > 0 and room and bool(recipe.gpus_per_worker) == bool(group.resources["GPU"]):
            least[group.name] = group.pods_for(recipe.cpus_asked, recipe.gpus_per_worker, left)
            left -= int(room) * least[group.name]
    return least


def _most_pods(spec: Spec, last: str, group: WorkerGroup) -> int:
    """How many pods of a group a job may have: pieces of work take what `limits` leaves them, workers what they ask."""
    recipe = spec.train
    trains = any(ask.what == "training worker" for ask in asks_of(spec, last))
    workers = group.pods_for(recipe.cpus_asked, recipe.gpus_per_worker, recipe.most_workers) if trains else 0
    if group.resources["GPU"]:
        return workers if recipe.gpus_per_worker else 0
    if spec.limits.cpus is None:
        return group.most
    limited = math.ceil(spec.limits.cpus / group.resources["CPU"]) if group.resources["CPU"] else 0
    return min(group.most, max(limited, 0 if recipe.gpus_per_worker else workers))
