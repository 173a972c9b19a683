"""A lease on a folder of the store: one process at a time writes there, and a dead one holds nobody up.

The holder renews a small file every few seconds. On the holder's own machine a lease ends with its process; seen
from another machine, when it has not been renewed for half a minute. Two that take it in the same moment read back
what they wrote, and the one that finds the other's name gives way. A holder that could not renew it for so long that
another has it now leaves it to that one.
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

from raymill.errors import ResourceError, StoreError
from raymill.process import is_there
from raymill.record import record_of
from raymill.store import Store

RENEW_EVERY_S = 5.0
ENDS_AFTER_S = 30.0
_HELD: set[str] = set()  # by this process: a container that starts again may have its predecessor's host and pid


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holder:
    """Who works there; `at` is when it said so last, in seconds since 1970."""

    id: str
    host: str
    pid: int
    at: float

    def write(self, store: Store, path: str) -> None:
        store.write_json(path, asdict(self))


@contextmanager
def lease(store: Store, path: str, what: str, clock: Callable[[], float] = time.time) -> Iterator[None]:
    """Holds the lease at `path` while the block runs. Raises ResourceError naming who holds it now."""
    _refuse(_holder(store, path), what, clock())
    mine = _Holder(id=uuid.uuid4().hex, host=socket.gethostname(), pid=os.getpid(), at=clock())
    mine.write(store, path)
    found = _holder(store, path)
    if found is None or found.id != mine.id:
        _refuse(found, what, clock())
    ended, hurried = threading.Event(), store.at_once()

    def renew() -> None:
        while not ended.wait(RENEW_EVERY_S):
            with suppress(StoreError):  # tried again in a moment; a store that stays away is met by the work itself
                if _is_ours(hurried, path, mine.id):
                    replace(mine, at=clock()).write(hurried, path)

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    _HELD.add(mine.id)
    try:
        yield
    finally:
        _HELD.discard(mine.id)
        ended.set()
        thread.join()
        with suppress(StoreError):
            if _is_ours(hurried, path, mine.id):
                hurried.delete(path)


def _holder(store: Store, path: str) -> _Holder | None:
    return record_of(_Holder, store.read_json(path), f"{store.uri}/{path}") if store.exists(path) else None


def _is_ours(store: Store, path: str, id: str) -> bool:
    """Whether nobody else has taken it."""
    holder = _holder(store, path)
    return holder is None or holder.id == id


def _refuse(holder: _Holder | None, what: str, now_s: float) -> None:
    if holder is not None and _is_alive(holder, now_s):
        raise ResourceError(
            f"{what} is being worked on by process {holder.pid} on {holder.host}.",
            "Wait until it has finished, or stop it and type the same command again.",
        )


def _is_alive(holder: _Holder, now_s: float) -> bool:
    if holder.host != socket.gethostname():
        return now_s - holder.at < ENDS_AFTER_S
    if holder.pid == os.getpid():
        return holder.id in _HELD
    return is_there(holder.pid)
