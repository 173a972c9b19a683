"""Commands on a cluster that is elsewhere: a job is handed to it and followed; its log, its end, and all its jobs."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from cluster.jobs_api import Job, JobsApi
from cluster.output import Output
from cluster.preflight import preflight, require_remote
from cluster.submission import Submission
from raymill.console import Console
from raymill.errors import Interrupted, MachineError
from raymill.spec_text import load_spec


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
    require_remote(spec, api.address, _places(arguments))
    preflight(spec, _last_step(arguments), api, console)
    submission = Submission.send(spec, arguments.command, options(arguments), api)
    console.say(f"submitted {submission.id} to {arguments.on}")
    return _ending(submission, submission.follow(console))


def logs(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """Prints what the newest job of a spec's name has printed; with -f follows it to its end."""
    submission = _newest(arguments)
    if arguments.follow:
        return _ending(submission, submission.follow(console))
    output.text(submission.api.log(submission.id))
    return {"id": submission.id}


def cancel(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """Asks the newest job of a spec's name to end, which writes a checkpoint first."""
    submission = _newest(arguments)
    if (job := submission.job()).has_ended:
        console.say(f"{job.id} has ended already: {job.status.lower()}")
    else:
        submission.api.stop(submission.id)
        console.say(f"{submission.id} is asked to end; the same command continues from its newest checkpoint")
    return {"id": submission.id}


def list_jobs(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """Prints the jobs of raymill that a cluster knows, a line each."""
    jobs = [job for job in JobsApi(arguments.on).jobs() if "raymill" in job.metadata]
    if not arguments.json:
        output.text("".join(f"{_line(job)}\n" for job in jobs) or "no job of raymill yet\n")
    return {"jobs": [{"id": job.id, "status": job.status.lower(), "exit_code": job.exit_code} for job in jobs]}


def _newest(arguments: argparse.Namespace) -> Submission:
    return Submission.newest(load_spec(arguments.spec, arguments.overrides).name, JobsApi(arguments.on))


def options(arguments: argparse.Namespace) -> list[str]:
    """The command's own options, as its job takes them."""
    flags = [f"--{name}" for name in ("once", "no-serve") if getattr(arguments, name.replace("-", "_"), False)]
    return flags + [word for name, value in _places(arguments).items() for word in (name, value)]


def _places(arguments: argparse.Namespace) -> dict[str, str]:
    """What the command reads and writes beside the spec's places, by option."""
    found = {f"--{name}": getattr(arguments, name, None) for name in ("input", "output")}
    return {name: place for name, place in found.items() if place}


def _last_step(arguments: argparse.Namespace) -> str:
    if arguments.command == "run":
        return "promote" if arguments.no_serve else "deploy"
    return str(arguments.command)


def _ending(submission: Submission, report: str) -> dict[str, Any]:
    """The report of a job that succeeded. Raises what became of another."""
    job = submission.job()
    if job.status == "STOPPED":
        raise Interrupted(f"The job {job.id} was cancelled.", "Type the same command to continue.")
    if not report:
        said = " ".join(job.message.split())[-300:].rstrip(".") or "it did not say why"
        raise MachineError(
            f"The job {job.id} ended as {job.status.lower()} without a result: {said}.",
            "See its log with `raymill logs`; the same command continues from what is in the store.",
        )
    found: dict[str, Any] = json.loads(report)
    if job.exit_code:
        raise EndedElsewhere(found, job.exit_code)
    return found


def _line(job: Job) -> str:
    started = datetime.fromtimestamp(job.started_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if job.started_s else "not yet"
    code = "" if not job.exit_code else f", exit code {job.exit_code}"
    return f"{job.id:50} {job.status.lower()}{code}, started {started}"
