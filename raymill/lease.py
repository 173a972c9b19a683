"""A lease on a folder of the store: one process at a time writes there, and a dead one holds nobody up.

The holder renews a small file every few seconds. Where its process can be seen, the lease ends with that; from
another machine or container, when it has not been renewed for half a minute. Who takes it, takes it over or renews it
changes the file only from what it has found there, so that of several in the same moment one succeeds. A holder that
could not renew it for so long that another took it finds that out, and is to stop.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace

from raymill.errors import RaymillError, ResourceError
from raymill.job_record import JOB_ID
from raymill.process import Process
from raymill.record import record_of
from raymill.store import Store, encode_json

RENEW_EVERY_S = 5.0
ENDS_AFTER_S = 30.0
_LOOK_EVERY_S = 1.0
_HELD: set[str] = set()  # by this process: one whose file could not be deleted holds nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holder:
    """Who works there, in which process and, on a cluster, job; `at` is when it said so last, in seconds since 1970."""

    id: str
    host: str
    pid: int
    at: float
    space: str = ""
    born: int = 0
    job: str = ""

    @classmethod
    def this(cls) -> _Holder:
        job = os.environ.get(JOB_ID, "")
        return cls(id=uuid.uuid4().hex, host=socket.gethostname(), at=0.0, job=job, **asdict(Process.this()))

    def encoded(self, now_s: float) -> bytes:
        return encode_json(asdict(replace(self, at=now_s)))

    def is_alive(self, now_s: float) -> bool:
        process = Process(pid=self.pid, space=self.space, born=self.born)
        lives = process.lives()
        if lives is None:
            return now_s - self.at < ENDS_AFTER_S
        return lives and (process != Process.this() or self.id in _HELD)


class Lease:
    """What this process may do in a folder until it gives that back, or another has taken it over."""

    def __init__(self, store: Store, path: str, what: str, clock: Callable[[], float]) -> None:
        self._store, self._path, self._what, self._clock = store, path, what, clock
        self._mine = _Holder.this()
        self._lost: ResourceError | None = None
        self._listeners: list[Callable[[], None]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def is_lost(self) -> bool:
        return self._lost is not None

    def require(self) -> None:
        """Raises ResourceError naming who has it by now, if this process has lost it."""
        if self._lost is not None:
            raise self._lost

    @contextmanager
    def telling(self, when_lost: Callable[[], None]) -> Iterator[None]:
        """Calls that, from any thread, when the lease is lost while the block runs or was lost before."""
        self._listeners.append(when_lost)
        if self.is_lost:
            when_lost()
        try:
            yield
        finally:
            self._listeners.remove(when_lost)

    def take(self) -> ResourceError | None:
        """Takes it unless somebody holds it now, whom the error that is returned names."""
        _HELD.add(self._mine.id)
        taken = False
        try:
            while not taken:
                found = self._store.peek(self._path)
                holder = self._holder(found)
                is_mine = holder is not None and holder.id == self._mine.id  # by a request whose answer was lost
                if holder is not None and not is_mine and holder.is_alive(self._clock()):
                    return self._busy(holder)
                taken = is_mine or self._store.swap(self._path, found, self._mine.encoded(self._clock()))
        finally:
            if not taken:
                _HELD.discard(self._mine.id)
        self._thread.start()
        return None

    def renew(self) -> None:
        """Says that this process still works there, or finds that it has lost the lease. Raises StoreError."""
        hurried = self._store.at_once()
        found = hurried.peek(self._path)
        holder = self._holder(found)
        if holder is not None and holder.id == self._mine.id:
            hurried.swap(self._path, found, self._mine.encoded(self._clock()))
        else:
            self._lose(holder)

    def give_back(self) -> None:
        _HELD.discard(self._mine.id)
        self._ended.set()
        self._thread.join()
        with suppress(RaymillError):  # it ends with this process then
            hurried = self._store.at_once()
            found = hurried.peek(self._path)
            holder = self._holder(found)
            if holder is not None and holder.id == self._mine.id:
                hurried.swap(self._path, found, None)

    def _busy(self, holder: _Holder) -> ResourceError:
        if holder.job:
            return ResourceError(
                f"{self._what} is being worked on by the job {holder.job}.",
                f"Follow it with `raymill logs -f SPEC --job {holder.job} --on ADDRESS`, or end it with `raymill "
                "cancel` and the same words; then type the same command again.",
            )
        return ResourceError(
            f"{self._what} is being worked on by process {holder.pid} on {holder.host}.",
            "Wait until it has finished, or stop it and type the same command again.",
        )

    def _keep(self) -> None:
        while not (self._ended.wait(RENEW_EVERY_S) or self.is_lost):
            with suppress(RaymillError):  # tried again in a moment; a store that stays away is met by the work itself
                self.renew()

    def _lose(self, holder: _Holder | None) -> None:
        by = "one that has ended since" if holder is None else f"process {holder.pid} on {holder.host}"
        self._lost = ResourceError(
            f"{self._what} was taken over by {by}: this process could not renew its lease for {ENDS_AFTER_S:.0f} s.",
            "Wait until that has finished, and type the same command again.",
        )
        for tell in tuple(self._listeners):
            tell()

    def _holder(self, data: bytes | None) -> _Holder | None:
        if data is None:
            return None
        return record_of(_Holder, self._store.parsed(self._path, data), f"{self._store.uri}/{self._path}")


def _refuse(busy: ResourceError) -> None:
    raise busy


def patient(say: Callable[[str], None]) -> Callable[[ResourceError], None]:
    """What waits for another holder, and says once for which."""
    told = False

    def wait(busy: ResourceError) -> None:
        nonlocal told
        if not told:
            say(busy.what)
        told = True
        time.sleep(_LOOK_EVERY_S)

    return wait


@contextmanager
def lease(
    store: Store,
    path: str,
    what: str,
    clock: Callable[[], float] = time.time,
    when_busy: Callable[[ResourceError], None] = _refuse,
) -> Iterator[Lease]:
    """Holds the lease at `path` while the block runs.

    While another process holds it `when_busy` gets the ResourceError that names that one: it raises it, or returns when
    to look again. At the block's end one is raised that says who has taken the lease over meanwhile.
    """
    held = Lease(store, path, what, clock)
    while busy := held.take():
        when_busy(busy)
    try:
        yield held
    finally:
        held.give_back()
        held.require()
