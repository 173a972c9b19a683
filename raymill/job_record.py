"""The record of a job: what a command did, kept in the store beside its logs, so that it outlives its cluster.

    jobs/<id>/job.json      this record, written again every few seconds while the job runs
    jobs/<id>/driver.log    what the command said
    jobs/<id>/workers.log   what its worker processes printed

It knows the store and the clock. Who writes a record, and what is in a log, is not its business.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from raymill.errors import DataError
from raymill.loggable import scrubbed
from raymill.process import Process
from raymill.record import record_of, require_format

if TYPE_CHECKING:
    from raymill.store import Store

JOB_ID = "RAYMILL_JOB_ID"  # the variable by which a job knows how its submission calls it
FORMAT = 1
FOLDER = "jobs"
COMMANDS = ("run", "prepare", "train", "evaluate", "promote", "deploy", "predict")
RUNNING, SUCCEEDED, FAILED, INTERRUPTED, LOST = "running", "succeeded", "failed", "interrupted", "lost"
EMBEDDED = "embedded"
LOST_AFTER_S = 60.0
_DAMAGED = "Delete that file; `--job` names another job, and no result is lost with a record."
_STAMP = "%Y%m%d-%H%M%S"
ENDING = rf"({'|'.join(COMMANDS)})-(\d{{8}}-\d{{6}}-[0-9a-f]{{4}})"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job; all times are UTC in ISO 8601, `alive` is when its process said last that it was there.

    `where` is the address of the Ray that it ran on as that knows itself, or `embedded`; `words` is what was typed.
    `pid`, `space` and `born` are its process's.
    An `error` holds `what` and `fix`, an event `at`, `kind` and `text`.
    """

    id: str
    name: str
    command: str
    words: str
    where: str
    host: str
    pid: int
    started: str
    alive: str
    space: str = ""
    born: int = 0
    state: str = RUNNING
    ended: str | None = None
    exit_code: int | None = None
    runs: tuple[str, ...] = ()
    events: tuple[dict[str, str], ...] = ()
    error: dict[str, str] | None = None
    traceback: str | None = None
    report: dict[str, Any] | None = None

    @classmethod
    def begin(cls, name: str, command: str, words: str, where: str, at: datetime, id: str | None = None) -> JobRecord:
        """The record of a job that begins in this process; `id` where its submission has named it already."""
        return cls(
            id=id or new_id(name, command, at),
            name=name,
            command=command,
            words=words,
            where=where,
            host=socket.gethostname(),
            **asdict(Process.this()),
            started=utc(at),
            alive=utc(at),
        )

    @property
    def driver_log(self) -> str:
        return f"{FOLDER}/{self.id}/driver.log"

    @property
    def workers_log(self) -> str:
        return f"{FOLDER}/{self.id}/workers.log"

    def write(self, store: Store) -> None:
        """Writes job.json, in which no URI shows a password."""
        store.write_json(_path(self.id), scrubbed({"format": FORMAT} | asdict(self)))

    def seen(self, now: datetime) -> JobRecord:
        """The record as it reads now: one that should be running, and whose process shows no life, is lost."""
        return replace(self, state=LOST) if self.state == RUNNING and not self._lives(now) else self

    def _lives(self, now: datetime) -> bool:
        if (now - datetime.fromisoformat(self.alive)).total_seconds() > LOST_AFTER_S:
            return False
        return Process(pid=self.pid, space=self.space, born=self.born).lives() is not False


def new_id(name: str, command: str, at: datetime) -> str:
    return f"{name}-{command}-{at.strftime(_STAMP)}-{secrets.token_hex(2)}"


def utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ids(store: Store, name: str) -> list[str]:
    """The jobs of a spec's name that the store has kept, the newest first."""
    wanted = re.compile(rf"{FOLDER}/({re.escape(name)}-{ENDING})/job\.json")
    found = [match for file in store.files(FOLDER, recursive=True) if (match := wanted.fullmatch(file.path))]
    return [match.group(1) for match in sorted(found, key=lambda match: match.group(3), reverse=True)]


def read(store: Store, id: str, now: datetime) -> JobRecord | None:
    """A job's record as it reads now, or None. Raises DataError for one that is damaged or another version's."""
    path = _path(id)
    if not store.exists(path):
        return None
    shown = f"{store.uri}/{path}"
    try:
        fields = require_format(json.loads(store.read_bytes(path)), FORMAT, shown)
        many = {key: tuple(fields.get(key, ())) for key in ("runs", "events")}
        record = record_of(JobRecord, fields | many, shown)
        _require_sound(record)
        return record.seen(now)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{shown} is damaged, not the record that was written: {error}.", _DAMAGED) from error


def _require_sound(record: JobRecord) -> None:
    """Raises ValueError, TypeError or KeyError where what is read of a record isn't what it should be."""
    for at in (record.started, record.alive, record.ended or record.started):
        if datetime.fromisoformat(at).tzinfo is None:
            raise ValueError(f"{at} is no time in UTC")
    for said in (*record.events, *([record.error] if record.error is not None else [])):
        for key in ("what", "fix") if said is record.error else ("at", "kind", "text"):
            said[key]
    if not isinstance(record.pid, int) or not isinstance(record.report or {}, dict):
        raise TypeError("its pid is no number, or its report holds no named fields")


def newest(store: Store, name: str, now: datetime) -> Iterator[JobRecord]:
    """The records of a spec's name, the newest first; damaged ones and another version's are passed over."""
    for id in ids(store, name):
        try:
            record = read(store, id, now)
        except DataError:
            continue
        if record is not None:
            yield record


def _path(id: str) -> str:
    return f"{FOLDER}/{id}/job.json"
