"""A submission as a RayJob: what it waits for and what its driver says, line by line, until KubeRay calls it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.jobs_api import Job
from cluster.ray_job_status import cluster_of, is_seen, job_of
from cluster.ray_jobs import RayJobs
from cluster.submission import Submission
from raymill.errors import MachineError, ResourceError

_POLL_S = 2.0
_SEEN_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RayJobSubmission(Submission):
    """A job of the id; `api` is the namespace that it is in."""

    api: RayJobs  # type: ignore[assignment]

    def job(self) -> Job:
        return job_of(self._ray_job())

    def lines(self) -> Iterator[str]:
        """What the job waits for, where that changes, and what its driver prints.

        A log that is cut off is read again from its beginning, and so is that of a second pod, since both are copies of
        the driver's: what was shown is passed over. On another cluster, as after Kueue has taken the first, it is
        another driver's.
        """
        shown, cluster, waited_for, readable, began_s = 0, None, "", True, time.monotonic()
        while True:
            ray_job = self._ray_job()
            ended = job_of(ray_job).has_ended
            if (now_on := cluster_of(ray_job) or cluster) != cluster:
                shown, cluster = 0, now_on
            try:
                for number, line in enumerate(self.api.lines(self.id, follow=not ended) if readable else ()):
                    if number >= shown:
                        yield line
                        shown += 1
            except ResourceError as error:
                readable = False
                yield f"{error.what} What the job says is in its store; its state follows here."
            if ended:
                return
            self._require_seen(ray_job, time.monotonic() - began_s)
            waits_for = self.api.waits_for(ray_job) or ("" if readable else "its end")
            if waits_for not in ("", waited_for):
                yield f"waiting for {waits_for}"
            waited_for = waits_for
            time.sleep(_POLL_S)

    def _ray_job(self) -> dict[str, Any]:
        found = self.api.ray_job(self.id)
        if found is None:
            raise MachineError(
                f"The job {self.id} is no longer in Kubernetes: its RayJob was deleted.",
                "Type the same command: it continues from what is in the store.",
            )
        return found

    def _require_seen(self, ray_job: dict[str, Any], waited_s: float) -> None:
        if waited_s > _SEEN_WITHIN_S and not is_seen(ray_job):
            raise MachineError(
                f"Nobody has looked at the RayJob {ray_job['metadata']['name']} for {_SEEN_WITHIN_S:g} seconds.",
                "See that the KubeRay operator runs and watches this namespace; the RayJob is left as it is.",
            )
