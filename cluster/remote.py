"""Commands on a cluster that is elsewhere: a job is handed to it, followed and cancelled."""

from __future__ import annotations

import argparse
import contextlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cluster.elsewhere import elsewhere, store_here
from cluster.jobs_api import Job, JobsApi
from cluster.output import Output
from cluster.preflight import preflight, require_remote
from cluster.salvage import salvage, salvage_lost, unexplained
from cluster.submission import Submission, find
from raymill.bounded_text import BoundedText
from raymill.console import Console
from raymill.errors import Interrupted, MachineError, RaymillError, ResourceError
from raymill.job_record import read
from raymill.spec import Spec
from raymill.spec_text import load_spec

if TYPE_CHECKING:
    from raymill.store import Store

_SEEN_CHARS = 1 << 20
_CANCELLED = "STOPPED"


class EndedElsewhere(Exception):
    """A job that failed on its cluster and has said why itself: its report and its exit code."""

    def __init__(self, report: dict[str, Any], code: int) -> None:
        super().__init__(report, code)
        self.report, self.code = report, code


def submit(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """Runs a command on the cluster `--on` names; returns what it reported. Raises EndedElsewhere where it failed.

    What the cluster can't do is refused before there is a job.
    """
    spec, api = load_spec(arguments.spec, arguments.overrides), JobsApi(arguments.on)
    require_remote(spec, api.address, places(arguments))
    preflight(spec, _last_step(arguments), written(spec, arguments), api, console)
    submission = Submission.send(spec, arguments.command, options(arguments), api)
    console.say(f"submitted {submission.id} to {arguments.on}")
    return watch(submission, spec, arguments.command, console)


def watch(submission: Submission, spec: Spec, command: str, console: Console) -> dict[str, Any]:
    """Shows a job's lines until it ends; returns its report, or raises what became of it.

    Where the job could not write its own end into the store, that is done here, if the store can be reached.
    """
    api, seen = submission.api, _Seen()
    store = store_here(spec, api)
    try:
        with console.heard_by(seen):
            report = _whole(submission.follow(console)) or _kept_report(store, submission.id, console)
        job = submission.job()
        with contextlib.suppress(RaymillError):  # no way from here to the store; the cluster knows it all
            if store is not None:
                salvage(store, job, api.log(job.id), api.address)
    except (MachineError, ResourceError) as error:
        with contextlib.suppress(RaymillError):  # the same
            if store is not None:
                salvage_lost(store, submission.id, spec.name, command, api.address, seen.text.text(), error)
        if isinstance(error, MachineError):
            raise
        raise MachineError(error.what, f"{error.fix} The same command continues.") from error  # its address was right
    return _ending(job, report, console)


def _whole(report: str) -> str:
    """A report as it was shown; nothing where a full disk below the job's log has cut it."""
    try:
        json.loads(report)
    except ValueError:
        return ""
    return report


def _kept_report(store: Store | None, id: str, console: Console) -> str:
    """What a job has reported to the store, for where its log is not to be read; nothing where that isn't either.

    A log without the report may lack the error's two lines too, so they are said.
    """
    with contextlib.suppress(RaymillError):
        record = None if store is None else read(store, id, datetime.now(UTC))
        if record is not None and record.ended is not None:
            if record.error is not None:
                console.say(f"error: {record.error['what']}\n{record.error['fix']}")
            return json.dumps({"error": record.error} if record.error is not None else record.report or {})
    return ""


class _Seen:
    """What has been shown of a job: all that is left of one that dies with its cluster."""

    def __init__(self) -> None:
        self.text = BoundedText(_SEEN_CHARS, _SEEN_CHARS)

    def hear(self, kind: str, text: str) -> None:
        self.text.add(text)


def cancel(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """Asks a job, the newest of a spec's name that runs, to end, which writes a checkpoint first."""
    api, name = elsewhere(arguments.on, console), load_spec(arguments.spec, arguments.overrides).name
    job = find(api, name, arguments.job, to_act=True)
    if job is None:
        raise ResourceError(
            f"The cluster at {api.address} knows no job {arguments.job or f'of {name}'}.",
            f"`raymill list --on {api.address}` shows what it knows.",
        )
    if job.has_ended:
        console.say(f"{job.id} has ended already: {job.status.lower()}")
    else:
        api.stop(job.id)
        console.say(f"{job.id} is asked to end; the same command continues from what is in the store")
    return {"id": job.id}


def options(arguments: argparse.Namespace) -> list[str]:
    """The command's own options, as its job takes them."""
    flags = [f"--{name}" for name in ("once", "no-serve") if getattr(arguments, name.replace("-", "_"), False)]
    flags += [f"--{name}={share:g}" for name in ("canary", "shadow") if (share := getattr(arguments, name, None))]
    flags += ["--auto"] if getattr(arguments, "auto", False) else []
    return flags + [word for name, value in places(arguments).items() for word in (name, value)]


def places(arguments: argparse.Namespace) -> dict[str, str]:
    """What the command reads and writes beside the spec's places, by option."""
    found = {f"--{name}": getattr(arguments, name, None) for name in ("input", "output")}
    return {name: place for name, place in found.items() if place}


def written(spec: Spec, arguments: argparse.Namespace) -> list[str]:
    """The places that the command writes to."""
    return [spec.store, *(place for name, place in places(arguments).items() if name == "--output")]


def _last_step(arguments: argparse.Namespace) -> str:
    """The last step of the walk that the command takes, or its own name where it takes none."""
    if arguments.command == "run":
        return "promote" if arguments.no_serve else "deploy"
    return "serve" if arguments.command == "deploy" else str(arguments.command)


def _ending(job: Job, report: str, console: Console) -> dict[str, Any]:
    """The report of a job that succeeded. Raises what became of another."""
    found: dict[str, Any] = json.loads(report or "{}")
    if job.status == _CANCELLED and "error" in found:  # it has said why it ended, and not who asked for that
        console.say(f"{job.id} was cancelled")
        raise EndedElsewhere(found, Interrupted.exit_code)
    if job.status == _CANCELLED:
        raise Interrupted(f"The job {job.id} was cancelled.", "Type the same command to continue.")
    if not report:
        raise unexplained(job)
    if job.exit_code or job.status != "SUCCEEDED":
        raise EndedElsewhere(found, job.exit_code or MachineError.exit_code)
    return found
