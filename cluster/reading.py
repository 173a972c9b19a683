"""Commands that look at jobs: what one says, why it ended as it did, and which there are.

A cluster is asked where `--on` names one, while it answers and knows the job; the store has what outlives it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import shlex
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cluster.elsewhere import Elsewhere, elsewhere, require_store_here, store_here, submission_of
from cluster.jobs_api import Job
from cluster.output import Output
from cluster.remote import EndedElsewhere, watch
from cluster.salvage import salvage
from cluster.submission import find
from raymill.console import Console
from raymill.errors import Interrupted, MachineError, RaymillError, ResourceError
from raymill.explanation import Explanation
from raymill.job_record import FAILED, INTERRUPTED, RUNNING, SUCCEEDED, JobRecord, newest, read
from raymill.last_words import last_words
from raymill.spec import Spec
from raymill.spec_text import load_spec

if TYPE_CHECKING:
    from raymill.store import Store

_POLL_S = 2.0
_PATIENCE_S = 3.0
_OVERLAP_CHARS = 4_000
_MOST = 50
_STATES = {"SUCCEEDED": SUCCEEDED, "FAILED": FAILED, "STOPPED": INTERRUPTED}


def logs(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """Prints what a job has said, or its workers; with -f follows it to its end, and ends as it does."""
    spec = load_spec(arguments.spec, arguments.overrides)
    job = None if arguments.workers else _on_cluster(arguments, spec, console)
    if job is not None:
        submission = submission_of(elsewhere(arguments.on, console), job.id)
        if arguments.follow:
            return watch(submission, spec, job.metadata.get("command", ""), console)
        _keep_end_of(job, submission.api, spec)
        text, state = submission.said(), _state(job)
    else:
        store, record = _store_for(arguments, spec, console), _stored(arguments, spec)
        path = record.workers_log if arguments.workers else record.driver_log
        if arguments.follow:
            return _follow(store, record, path, console)
        text, state = _text(store, path), record.state
    if not arguments.json:
        output.text(text)
    return {"id": job.id if job is not None else record.id, "state": state, "log": text}


def explain(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """Prints in a few lines what a job did, why it ended so, and what to type next."""
    spec = load_spec(arguments.spec, arguments.overrides)
    if (job := _on_cluster(arguments, spec, console)) is not None:
        _keep_end_of(job, elsewhere(arguments.on, console), spec)
    store, record = _store_for(arguments, spec, console), _stored(arguments, spec)
    driver, workers = _text(store, record.driver_log), _text(store, record.workers_log)
    failures = [event["text"] for event in record.events]
    explanation = Explanation(
        record=record,
        now=datetime.now(UTC),
        last_line=driver.rstrip("\n").rpartition("\n")[2],
        worker=None if record.state == SUCCEEDED else last_words(workers, failures),
        metric=spec.gate_metric,
        spec=shlex.join([arguments.spec, *arguments.overrides]),
        on=arguments.on,
    )
    if not arguments.json:
        output.text("".join(f"{line}\n" for line in explanation.lines()))
    return explanation.to_json()


def list_jobs(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """Prints the jobs of a spec's name that its store has kept, or those that a cluster knows, the newest last."""
    spec = None if arguments.spec is None else load_spec(arguments.spec, arguments.overrides)
    if arguments.on is None:
        assert spec is not None
        records = list(itertools.islice(newest(_store(spec), spec.name, datetime.now(UTC)), _MOST))
        jobs = [_summary(r.id, r.state, r.exit_code, r.started, r.runs) for r in reversed(records)]
    else:
        known = [job for job in elsewhere(arguments.on, console).jobs() if "raymill" in job.metadata]
        wanted = [job for job in known if spec is None or job.metadata["raymill"] == spec.name]
        jobs = [_summary(job.id, _state(job), job.exit_code, _started(job), ()) for job in wanted]
    if not arguments.json:
        output.text("".join(f"{_line(job)}\n" for job in jobs) or "no job of raymill yet\n")
    return {"jobs": jobs}


def _on_cluster(arguments: argparse.Namespace, spec: Spec, console: Console) -> Job | None:
    """The job as the cluster knows it; None where none is named, or, which is said, it doesn't answer or know it."""
    if arguments.on is None:
        return None
    api = elsewhere(arguments.on, console)
    if not replace(api, patience_s=_PATIENCE_S).answers():
        console.say(f"Nobody answers at {arguments.on}; the store {spec.store} has what follows.")
        return None
    job = find(api, spec.name, arguments.job, to_act=_follows(arguments))
    if job is None:
        console.say(f"The cluster at {arguments.on} knows no such job; the store {spec.store} has what follows.")
    return job


def _stored(arguments: argparse.Namespace, spec: Spec) -> JobRecord:
    """The record in the store. Raises ResourceError where there is none."""
    store, now = _store(spec), datetime.now(UTC)
    if arguments.job:
        record = read(store, arguments.job, now)
    else:
        known = list(itertools.islice(newest(store, spec.name, now), _MOST if _follows(arguments) else 1))
        meant = [record for record in known if record.state == RUNNING and _follows(arguments)] or known
        record = meant[0] if meant else None
    if record is None:
        raise ResourceError(
            f"The store {store.uri} has no job {arguments.job or f'of {spec.name}'}.",
            f"`raymill list {arguments.spec}` shows those that it has; look at `name` and `store` in the spec.",
        )
    return record


def _follows(arguments: argparse.Namespace) -> bool:
    """Whether the newest job that runs is meant, rather than the newest of all."""
    return bool(getattr(arguments, "follow", False))


def _keep_end_of(job: Job, api: Elsewhere, spec: Spec) -> None:
    """Writes what only the cluster knows into the store, where that can be reached from here."""
    if job.has_ended and (store := store_here(spec, api)) is not None:
        with contextlib.suppress(RaymillError):
            salvage(store, job, api.log(job.id), api.address)


def _follow(store: Store, record: JobRecord, path: str, console: Console) -> dict[str, Any]:
    shown = ""
    try:
        while True:
            text = _text(store, path)
            for line in unseen(shown, text).splitlines():
                console.say(line)
            shown = text
            if record.state != RUNNING:
                return _ending(record)
            time.sleep(_POLL_S)
            record = read(store, record.id, datetime.now(UTC)) or record
    except KeyboardInterrupt:
        raise Interrupted(
            f"The job {record.id} goes on.", "The same command follows it again, Ctrl-C where it runs ends it."
        ) from None


def _ending(record: JobRecord) -> dict[str, Any]:
    """The report of a job that succeeded. Raises what became of another."""
    if record.state == SUCCEEDED:
        return record.report or {}
    if record.exit_code and record.error is not None:
        raise EndedElsewhere({"error": record.error}, record.exit_code)
    raise MachineError(
        f"The job {record.id} is lost: its process has shown no life since {record.alive}.",
        "Type its command again: it continues from what is in the store.",
    )


def unseen(shown: str, text: str) -> str:
    """What of a growing text is new, also where its middle has been left out meanwhile."""
    if text.startswith(shown):
        return text[len(shown) :]
    overlap = shown[-_OVERLAP_CHARS:]
    at = text.rfind(overlap)
    return text[at + len(overlap) :] if at >= 0 else text


def _store_for(arguments: argparse.Namespace, spec: Spec, console: Console) -> Store:
    """The store. Raises ResourceError where the cluster that `--on` names means another one by its URI."""
    if arguments.on is not None:
        require_store_here(spec, elsewhere(arguments.on, console))
    return _store(spec)


def _store(spec: Spec) -> Store:
    from raymill.store import Store

    return Store(spec.store)


def _text(store: Store, path: str) -> str:
    return store.read_bytes(path).decode(errors="replace") if store.exists(path) else ""


def _state(job: Job) -> str:
    return _STATES.get(job.status, job.status.lower())


def _started(job: Job) -> str | None:
    return datetime.fromtimestamp(job.started_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if job.started_s else None


def _summary(id: str, state: str, exit_code: int | None, started: str | None, runs: tuple[str, ...]) -> dict[str, Any]:
    return {"id": id, "state": state, "exit_code": exit_code, "started": started, "runs": list(runs)}


def _line(job: dict[str, Any]) -> str:
    code = f", exit code {job['exit_code']}" if job["exit_code"] else ""
    runs = f", {', '.join(job['runs'])}" if job["runs"] else ""
    return f"{job['id']:50} {job['state']}{code}, started {job['started'] or 'not yet'}{runs}"
