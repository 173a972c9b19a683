"""Salvage: the record of a job that died before it could say how it ended, written by who saw it from outside.

A job that can't import raymill writes nothing, one that was killed not how it ended; its cluster knows both.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cluster.jobs_api import Job
from raymill.bounded_text import BoundedText
from raymill.errors import MachineError, RaymillError
from raymill.job_record import FAILED, INTERRUPTED, LOST, RUNNING, SUCCEEDED, JobRecord, read, utc
from raymill.loggable import without_userinfo

if TYPE_CHECKING:
    from raymill.store import Store

_STATES = {"SUCCEEDED": SUCCEEDED, "STOPPED": INTERRUPTED}
_CHARS = 1 << 20
_SHOWN_CHARS = 300
_TRACEBACK = "Traceback (most recent call last):"
_ITS_LOG = ", last available logs (truncated to 20,000 chars):"  # in Ray's message, before the log's last lines


def salvage(store: Store, job: Job, log: str, address: str) -> None:
    """Completes the record of a job that has ended on its cluster, where it has not done so itself."""
    now = datetime.now(UTC)
    found = read(store, job.id, now)
    if found is not None and found.ended is not None:
        return
    record = found or _outline(job.id, job.metadata["raymill"], job.metadata["command"], address, job.started_s)
    error = None if job.status == "SUCCEEDED" else unexplained(job)
    _write_log(store, record, log)
    replace(
        record,
        state=_STATES.get(job.status, FAILED),
        ended=utc(datetime.fromtimestamp(job.ended_s, UTC) if job.ended_s else now),
        exit_code=job.exit_code,
        error=None if error is None else {"what": error.what, "fix": error.fix},
    ).write(store)


def salvage_lost(store: Store, id: str, name: str, command: str, address: str, log: str, error: RaymillError) -> None:
    """Writes what was seen of a job whose cluster is gone, where the job has written nothing itself."""
    if read(store, id, datetime.now(UTC)) is None:
        record = _outline(id, name, command, address, None)
        _write_log(store, record, log)
        replace(record, state=LOST, error={"what": error.what, "fix": error.fix}).write(store)


def unexplained(job: Job) -> MachineError:
    """What there is to say about a job that ended without a report."""
    cause, _, log = job.message.partition(_ITS_LOG)
    before, _, trace = cause.partition(_TRACEBACK)
    cause = " ".join([before, *trace.strip().splitlines()[-1:]])
    ends = [" ".join(part.split())[:_SHOWN_CHARS] for part in (cause, *log.strip().splitlines()[-1:])]
    said = "; its last line: ".join(end for end in ends if end).rstrip(".") or "it did not say why"
    return MachineError(
        f"The job {job.id} ended as {job.status.lower()} without a result: {said}.",
        "See its log with `raymill logs`; the same command continues from what is in the store.",
    )


def _outline(id: str, name: str, command: str, address: str, started_s: float | None) -> JobRecord:
    at = utc(datetime.fromtimestamp(started_s, UTC) if started_s else datetime.now(UTC))
    return JobRecord(
        id=id,
        name=name,
        command=command,
        words=f"{command} {name}",
        where=address,
        host="",
        pid=0,
        started=at,
        alive=at,
        state=RUNNING,
    )


def _write_log(store: Store, record: JobRecord, log: str) -> None:
    text = BoundedText(_CHARS, 2 * _CHARS)
    for line in log.splitlines():
        text.add(without_userinfo(line))
    store.write_bytes(record.driver_log, text.text().encode(errors="backslashreplace"))
