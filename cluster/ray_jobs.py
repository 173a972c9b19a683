"""Jobs in Kubernetes, as RayJobs: handed over, looked at and ended, with the words by which `JobsApi` does it.

KubeRay runs them. What a RayJob is made of is `cluster.ray_job`'s business.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from cluster.grammar import KUBERNETES
from cluster.job_settings import CONFIG_MAP
from cluster.jobs_api import Job
from cluster.kubernetes_api import KubernetesApi
from cluster.object_names import PART_OF, SPEC, job_name
from cluster.overlay import Overlay
from cluster.owned import owned
from cluster.pod_status import has_started
from cluster.ray_job import JobOrder, job_objects
from cluster.ray_job_status import cluster_of, job_of, newest_submitter, quota_of, what_it_waits_for
from cluster.ray_template import CLUSTER
from cluster.store_place import CONFIG_MAP as STORE
from cluster.store_place import StorePlace
from cluster.submitter_log import lines_of_the_job
from raymill.errors import MachineError, RaymillError, ResourceError

_DASHBOARD = "http://127.0.0.1:8265"
_PATIENCE_S = 3.0
_STOPS_WITHIN_S = 60.0
_KEPT = 20  # finished RayJobs of a name; their records and logs are in the store
_SUBMITTER = "submitter"


@dataclass(frozen=True, slots=True)
class RayJobs:
    """The RayJobs of a namespace that are ours. `say` hears what the user should know on the way."""

    api: KubernetesApi
    say: Callable[[str], None]
    patience_s: float = _PATIENCE_S  # for `answers`

    @classmethod
    def connected(cls, say: Callable[[str], None]) -> RayJobs:
        """Those of the current context; says where nobody answers, or two minutes might pass without a word."""
        jobs = cls(KubernetesApi.connect(), say)
        if not jobs.answers():
            say("waiting for Kubernetes, which doesn't answer")
        return jobs

    @property
    def address(self) -> str:
        return KUBERNETES

    def answers(self) -> bool:
        """Whether the API server is there, whatever its answer is."""
        try:
            replace(self.api, patience_s=self.patience_s).get("ConfigMap", CONFIG_MAP)
        except (MachineError, ResourceError) as error:
            return isinstance(error, ResourceError)
        return True

    def overlay(self) -> Overlay:
        """The template and the settings that are applied here. Raises ResourceError where they are not."""
        found = (self.api.get("RayCluster", CLUSTER), self.api.get("ConfigMap", CONFIG_MAP))
        objects = [dict(o) | {"kind": k} for o, k in zip(found, ("RayCluster", "ConfigMap"), strict=True) if o]
        return Overlay.of(objects, f"the namespace {self.api.namespace}")

    def store_place(self) -> StorePlace:
        """Where the pods here look for the store, and where this machine does."""
        return StorePlace.of(self.api.get("ConfigMap", STORE))

    def submit(self, order: JobOrder, overlay: Overlay) -> None:
        """Applies a job; its files go with it, and so do old jobs of its name that have ended."""
        files, ray_job = job_objects(order, overlay.template, overlay.settings)
        self.api.apply(files)
        try:
            made = self.api.apply(ray_job)
        except RaymillError:
            self.api.delete("ConfigMap", order.name)
            raise
        self.api.apply(owned(files, by=made))
        self._forget_old(order.spec.name)

    def ray_job(self, id: str) -> dict[str, Any] | None:
        return self.api.get("RayJob", job_name(id))

    def job(self, id: str) -> Job | None:
        found = self.ray_job(id)
        return None if found is None else job_of(found)

    def jobs(self) -> list[Job]:
        """The jobs that are known, the oldest first."""
        return [job_of(found) for found in self._made(PART_OF)]

    def log(self, id: str) -> str:
        """All that a job's driver has printed so far, from the pod that follows it."""
        return "".join(f"{line}\n" for line in self.lines(id, follow=False))

    def lines(self, id: str, *, follow: bool) -> Iterator[str]:
        """The lines of a job's driver from the first; followed, until the log ends, is silent, or is cut off."""
        pod = newest_submitter(self._submitters(id))
        if pod is not None:
            yield from lines_of_the_job(self.api.log(pod["metadata"]["name"], _SUBMITTER, follow=follow), id)

    def waits_for(self, ray_job: dict[str, Any]) -> str:
        """What is in the way of a job that doesn't run, or of its workers; nothing where nothing is known."""
        name, uid = ray_job["metadata"]["name"], ray_job["metadata"]["uid"]
        cluster = cluster_of(ray_job)
        pods = self.api.list("Pod", labels=f"ray.io/cluster={cluster}") if cluster else []
        quota, warnings = "", list[str]()
        with contextlib.suppress(ResourceError):  # Kueue isn't there, or not for this user to see
            quota = quota_of(self.api.list("Workload"), uid)
        with contextlib.suppress(ResourceError):
            warnings = self._warnings(name, cluster)
        return what_it_waits_for(ray_job, pods, self._submitters_of(name), quota, warnings)

    def stop(self, id: str) -> None:
        """Asks a job to end, with a checkpoint: its driver by SIGTERM, through a command in the pod of its head.

        Where that may not be, or where there is no driver yet, the RayJob is deleted. KubeRay then asks the driver to
        end, too, and its pods a moment later, so that a checkpoint has as long as the head's pod takes to go.
        """
        ray_job = self.ray_job(id)
        if ray_job is None:
            return
        head = self._head_of(ray_job)
        if head is not None:
            command = ["ray", "job", "stop", "--no-wait", "--address", _DASHBOARD, id]
            try:
                self.api.execute(
                    head["metadata"]["name"], head["spec"]["containers"][0]["name"], command, _STOPS_WITHIN_S
                )
                return
            except ResourceError as error:
                self.say(f"{error.what} So the RayJob is deleted, which asks its driver to end, too.")
        self._delete(ray_job)

    def _delete(self, ray_job: dict[str, Any]) -> None:
        """A RayJob, and its files: those of a job that was printed and applied by hand have no owner."""
        name = ray_job["metadata"]["name"]
        self.api.delete("RayJob", name)
        with contextlib.suppress(RaymillError):
            self.api.delete("ConfigMap", name)

    def _head_of(self, ray_job: dict[str, Any]) -> dict[str, Any] | None:
        """The pod in which a driver runs."""
        if job_of(ray_job).status != "RUNNING":
            return None
        labels = f"ray.io/cluster={cluster_of(ray_job)},ray.io/node-type=head"
        return next(filter(has_started, self.api.list("Pod", labels=labels)), None)

    def _submitters(self, id: str) -> list[dict[str, Any]]:
        return self._submitters_of(job_name(id))

    def _submitters_of(self, name: str) -> list[dict[str, Any]]:
        return self.api.list("Pod", labels=f"batch.kubernetes.io/job-name={name}")

    def _warnings(self, *names: str | None) -> list[str]:
        """What went wrong with objects of these names, the newest last."""
        found = [
            event
            for name in dict.fromkeys(filter(None, names))
            for event in self.api.list("Event", fields=f"involvedObject.name={name},type=Warning")
        ]
        found.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
        return [" ".join(str(event.get("message")).split()) for event in found]

    def _made(self, selector: str) -> list[dict[str, Any]]:
        found = [o for o in self.api.list("RayJob", labels=selector) if SPEC in o["metadata"]["labels"]]
        return sorted(found, key=lambda ray_job: str(ray_job["metadata"]["creationTimestamp"]))

    def _forget_old(self, name: str) -> None:
        ended = [o for o in self._made(f"{PART_OF},{SPEC}={name}") if job_of(o).has_ended]
        for ray_job in ended[:-_KEPT]:
            with contextlib.suppress(RaymillError):  # another time will do
                self._delete(ray_job)
