"""Beats: each training rank says every second where it is, through Ray's head, for as long as an attempt lasts.

They are for the process that watches the attempt. Nothing that a run needs is in them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from raymill.loop import Place
from raymill.record import record_of

_NAMESPACE = b"raymill"
_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One rank's newest word: its process, how far it has moved, and whether it waits for the others.

    `count` grows with each beat, so that a reader with another clock sees whether the rank still speaks.
    """

    rank: int
    node: str
    pid: int
    count: int
    moves: int
    waits: bool


def beating(attempt: str) -> Callable[[Place], AbstractContextManager[None]]:
    """What lets a rank of this attempt beat while a block runs; to be called in its process.

    A rank whose block is over is no longer seen: what it does then keeps nobody waiting.
    """
    return functools.partial(_beating, attempt)


@contextlib.contextmanager
def _beating(attempt: str, place: Place) -> Iterator[None]:
    ended = threading.Event()
    thread = threading.Thread(target=_beat, args=(attempt, place, ended), name="beats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(attempt: str, place: Place, ended: threading.Event) -> None:
    import ray
    from ray import train

    rank, node = train.get_context().get_world_rank(), ray.get_runtime_context().get_node_id()
    count, over = 0, False
    while not over:
        beat = Beat(rank=rank, node=node, pid=os.getpid(), count=count, moves=place.moves, waits=place.waits)
        with contextlib.suppress(Exception):  # a head that is away misses a beat, and no more
            _head().internal_kv_put(_key(attempt, rank), json.dumps(asdict(beat)).encode(), True, _NAMESPACE)
        count += 1
        over = ended.wait(_EVERY_S)
    with contextlib.suppress(Exception):  # the same; whoever watches the attempt removes them all at its end
        _head().internal_kv_del(_key(attempt, rank), False, _NAMESPACE)


def beats_of(attempt: str) -> tuple[Beat, ...]:
    """The newest beat of each rank that has begun and is not over, by rank."""
    keys = _head().internal_kv_keys(_key(attempt), _NAMESPACE)
    found = (_head().internal_kv_get(key, _NAMESPACE) for key in keys)
    beats = (record_of(Beat, json.loads(data), "a beat") for data in found if data is not None)
    return tuple(sorted(beats, key=lambda beat: beat.rank))


def forget_beats(attempt: str) -> None:
    """Removes what the ranks of an attempt have said."""
    _head().internal_kv_del(_key(attempt), True, _NAMESPACE)


def _key(attempt: str, rank: int | None = None) -> bytes:
    return f"beat/{attempt}/{'' if rank is None else rank}".encode()


def _head() -> Any:
    from ray.experimental.internal_kv import internal_kv_get_gcs_client

    return internal_kv_get_gcs_client()
