"""Keeping: a job leaves its record and its logs in the store, while it runs and when it has ended.

A thread writes them, so that a job neither fails nor waits when its store is away: what could not be written is
written later, and for the last of it a job waits a few seconds at most. It hears what the job's console hears.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cluster.ending import as_ours
from cluster.overheard import Overheard
from cluster.session import cluster_of
from raymill.bounded_text import BoundedText
from raymill.console import Console
from raymill.errors import InternalError, Interrupted, RaymillError, SpecError, StoreError
from raymill.job_record import EMBEDDED, FAILED, INTERRUPTED, JOB_ID, SUCCEEDED, JobRecord, utc
from raymill.loggable import without_userinfo
from raymill.spec import Spec
from raymill.store import Store

EVERY_S = 10.0
_LAST_WITHIN_S = 10.0
_AGAIN_S = 1.0
_FIRST_CHARS, _LAST_CHARS = 1 << 20, 2 << 20
_LINE_CHARS = 1 << 16  # far more than is kept of a line, so that no secret is cut in two where it shows
_MOST_EVENTS = 200


class Keeper:
    """Writes one job's record: `hear` takes what is said, `end` how it ended. Any thread may call them."""

    def __init__(self, store: Store, record: JobRecord, clock: Callable[[], datetime] | None = None) -> None:
        self._store, self._record = store.at_once(), record
        self._clock = clock or (lambda: datetime.now(UTC))
        self._driver = BoundedText(_FIRST_CHARS, _LAST_CHARS)
        self._workers = BoundedText(_FIRST_CHARS, _LAST_CHARS)
        self._logs = {record.driver_log: self._driver, record.workers_log: self._workers}
        self._written = dict.fromkeys(self._logs, 0)
        self._problem: str | None = "nothing could be written in time"
        self._away = False
        self._changing, self._ended = threading.Lock(), threading.Event()
        self._give_up_s = 0.0
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hear(self, kind: str, text: str) -> None:
        """Takes a line that was `said` or that a `worker` printed, the name of a `run`, or any other event."""
        at = utc(self._clock())
        if kind in ("said", "worker"):
            log = self._driver if kind == "said" else self._workers
            for line in text.splitlines():
                log.add(f"{at} {without_userinfo(line[:_LINE_CHARS])}")
            return
        text = without_userinfo(text)
        with self._changing:
            if kind == "run":
                self._record = replace(self._record, runs=tuple(dict.fromkeys((*self._record.runs, text))))
            else:
                events = (*self._record.events, {"at": at, "kind": kind, "text": text})
                self._record = replace(self._record, events=events[-_MOST_EVENTS:])

    def end(self, within_s: float, **ending: Any) -> str | None:
        """Writes how the job ended, with fields of its record; returns why that can't be done in so many seconds."""
        with self._changing:
            self._record = replace(self._record, ended=utc(self._clock()), **ending)
        self._give_up_s = time.monotonic() + within_s
        self._ended.set()
        self._thread.join(within_s)
        return self._problem

    def write(self) -> bool:
        """Writes what is new and that the job is alive; False where the store can't be written now."""
        try:
            for path, log in self._logs.items():
                if (lines := log.lines) != self._written[path]:
                    self._store.write_bytes(path, log.text().encode(errors="backslashreplace"))
                    self._written[path] = lines
            replace(self._record, alive=utc(self._clock())).write(self._store)
        except RaymillError as error:
            if not self._away:
                self.hear("said", f"this log can't be kept now: {error.what}")
            self._away, self._problem = True, error.what
            return False
        if self._away:
            self.hear("said", "this log is kept again")
            self._away = False
        return True

    def _keep(self) -> None:
        self.write()
        while not self._ended.wait(EVERY_S):
            self.write()
        while not (written := self.write()) and self._may_mend():
            time.sleep(_AGAIN_S)
        if written:
            self._problem = None

    def _may_mend(self) -> bool:
        return not self._store.is_local and time.monotonic() + _AGAIN_S < self._give_up_s


def begin(spec: Spec, command: str, words: str, environ: Mapping[str, str]) -> JobRecord:
    """The record of a command that begins in this process, under the id that its submission gave it, if any."""
    where, now = cluster_of(environ) or EMBEDDED, datetime.now(UTC)
    return JobRecord.begin(spec.name, command, words, where, now, environ.get(JOB_ID))


@contextlib.contextmanager
def kept(spec: Spec, record: JobRecord, console: Console) -> Iterator[dict[str, Any]]:
    """Keeps a job in its spec's store while a block runs, which leaves its report in the dictionary that it gets."""
    store, report = Store(spec.store), dict[str, Any]()
    keeper = Keeper(store, record)
    keeper.start()
    with console.heard_by(keeper), _prints_heard(keeper):
        try:
            yield report
        except BaseException as error:
            _end_badly(keeper, error)
            raise
        problem = keeper.end(_LAST_WITHIN_S, state=SUCCEEDED, exit_code=0, report=report)
    if problem is not None:
        console.say(f"WARNING: the log of this job is not in {store.uri}: {problem}")


@contextlib.contextmanager
def _prints_heard(keeper: Keeper) -> Iterator[None]:
    def hear(line: str) -> None:
        keeper.hear("said", line)

    out, err = Overheard(sys.stdout, hear), Overheard(sys.stderr, hear)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def _end_badly(keeper: Keeper, error: BaseException) -> None:
    ours = as_ours(error)
    keeper.hear("said", f"error: {ours}")
    keeper.end(
        _AGAIN_S if isinstance(ours, StoreError | SpecError) else _LAST_WITHIN_S,
        state=INTERRUPTED if isinstance(ours, Interrupted) else FAILED,
        exit_code=ours.exit_code,
        error={"what": ours.what, "fix": ours.fix},
        traceback="".join(traceback.format_exception(error)) if isinstance(ours, InternalError) else None,
    )
