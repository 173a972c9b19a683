"""A submission: a command that a cluster runs, with the resolved spec and the modules that it names, and its end.

raymill itself is in the cluster's image. Of this machine nothing travels but the commit of its working directory: no
path, no environment, and no secret, since a spec that holds one is refused before.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import raymill
from cluster.jobs_api import Job, JobsApi
from raymill.console import Console
from raymill.errors import Interrupted, MachineError
from raymill.imported_code import files_to_travel
from raymill.job_record import JOB_ID, new_id
from raymill.lineage import COMMIT, git_commit
from raymill.model_spec import ImportedSpec
from raymill.spec import Spec

SPEC_FILE = "spec.yaml"
SUBMITTED_BY = "RAYMILL_VERSION"  # of the raymill that has handed the job over
_ENDS_WITHIN_S = 120  # with a checkpoint; Ray kills a job that is stopped after 3 s by default
_POLL_S = 1.0
_REPORT = '{"job": '
# Ray's lines about the job and about its own logs on a full disk, and advice to type a command where the job ran.
_NOT_FOR_HERE = re.compile(
    r".*\tINFO job_manager\.py:\d+ -- |Running entrypoint for job |\[\*\*\* LOG ERROR #\d+ \*\*\*\] |next: "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submitted command; `id` is the cluster's name for it."""

    api: JobsApi
    id: str

    @classmethod
    def send(cls, spec: Spec, command: str, options: Sequence[str], api: JobsApi) -> Submission:
        """Hands a job to a cluster and returns."""
        submission = cls(api=api, id=new_id(spec.name, command, datetime.now(UTC)))
        api.submit(
            entrypoint_of(command, options),
            id=submission.id,
            package=api.upload(package_of(spec)),
            metadata={"raymill": spec.name, "command": command},
            env=environment_of(submission.id),
        )
        return submission

    def job(self) -> Job:
        found = self.api.job(self.id)
        if found is None:
            raise MachineError(
                f"The cluster at {self.api.address} no longer knows the job {self.id}: its head was started again.",
                "Type the same command: it continues from what is in the store.",
            )
        return found

    def lines(self) -> Iterator[str]:
        """The lines that the job's driver prints, as they come, until it has ended."""
        shown = 0
        while True:
            ended = self.job().has_ended
            text = self.api.log(self.id)
            whole = len(text) if ended else text.rfind("\n") + 1
            yield from text[shown:whole].splitlines()
            shown = max(shown, whole)
            if ended:
                return
            time.sleep(_POLL_S)

    def said(self) -> str:
        """What the job has said so far, its report too, without Ray's own lines and advice for where it ran."""
        lines = self.api.log(self.id).splitlines(keepends=True)
        return "".join(line for line in lines if not _NOT_FOR_HERE.match(line))

    def follow(self, console: Console) -> str:
        """Shows the job's lines until it ends; returns the JSON object that it reported, or nothing.

        Ctrl-C leaves the job alone: raises Interrupted, which says how to follow or cancel it.
        """
        report = ""
        try:
            for line in self.lines():
                if line.startswith(_REPORT):
                    report = line
                elif not _NOT_FOR_HERE.match(line):
                    console.say(line)
        except KeyboardInterrupt:
            raise Interrupted(
                f"The job {self.id} goes on at {self.api.address}.",
                f"Follow it with `raymill logs -f SPEC --on {self.api.address}`, end it with `raymill cancel`.",
            ) from None
        return report


class KnowsJobs(Protocol):
    """Where jobs run: in the order in which they were handed over."""

    def jobs(self) -> list[Job]: ...

    def job(self, id: str) -> Job | None: ...


def find(api: KnowsJobs, name: str, id: str | None, to_act: bool = False) -> Job | None:
    """A job of a spec's name that a cluster knows: by its id, or the newest; `to_act`: the newest that runs, if any."""
    known = api.jobs() if id is None else filter(None, [api.job(id)])
    found = [job for job in known if job.metadata.get("raymill") == name]
    meant = [job for job in found if to_act and not job.has_ended] or found
    return meant[-1] if meant else None


def entrypoint_of(command: str, options: Sequence[str]) -> str:
    """What a cluster runs for a command, in a folder with the files that travel."""
    return shlex.join(["python", "-m", f"jobs.{command}", SPEC_FILE, "--json", *options])


def environment_of(id: str) -> dict[str, str]:
    """What the process of a job finds in its environment."""
    commit = git_commit()
    return {
        "PYTHONUNBUFFERED": "1",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
        "RAY_JOB_STOP_WAIT_TIME_S": str(_ENDS_WITHIN_S),
        JOB_ID: id,
        SUBMITTED_BY: raymill.__version__,
        **({COMMIT: commit} if commit else {}),
    }


def files_of(spec: Spec) -> dict[str, bytes]:
    """What travels, by path: the resolved spec, and the module that `model.import` names."""
    files = {SPEC_FILE: json.dumps(spec.to_json(), indent=1).encode()}
    if isinstance(spec.model, ImportedSpec):
        files |= files_to_travel(spec.model.import_)
    return files


def package_of(spec: Spec) -> bytes:
    """A zip of the files that travel; the same for the same content."""
    files = files_of(spec)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])  # of 1980: the time is no content
    return buffer.getvalue()
