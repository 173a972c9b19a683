"""The overseer of a training attempt: a thread beside it that sees how it goes, has it judged, and acts."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType

from cluster.beats import Beat, beats_of, forget_beats
from cluster.crew import Crew, places
from cluster.oversight import GoOn, Sight, Stuck, Verdict, doubt, judge
from cluster.state import ClusterState
from cluster.wishes import Wishes
from raymill.errors import StoreError

_LOG = logging.getLogger("raymill.overseer")
_EVERY_S = 1.0
_SILENT_S = 60.0
_JOIN_S = 5.0  # a kill or a stop may take longer, and then needs nobody
_KILL_WITHIN_S = 60.0


class Overseer:
    """Watches one attempt of so many workers while its block runs; `verdict` is why it ended it, if it did.

    `stop` asks the ranks to write a checkpoint and end; only ranks that are stuck are killed.
    """

    def __init__(self, attempt: str, crew: Crew, workers: int, stop: Callable[[], None], stuck_s: float) -> None:
        self.verdict: Verdict | None = None
        self._attempt, self._crew, self._workers, self._stop = attempt, crew, workers, stop
        self._wishes = Wishes(attempt, crew.each)
        self._clock, self._stuck_s = _Clock(), stuck_s
        self._doubts, self._ended = False, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="overseer", daemon=True)

    def __enter__(self) -> Overseer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(_JOIN_S)
        self._wishes.withdraw()
        forget_beats(self._attempt)

    def _watch(self) -> None:
        import ray

        while not self._ended.wait(_EVERY_S):
            try:
                sight = self._see()
                self._tell(sight)
                self._act(judge(sight))
            except (ray.exceptions.RayError, StoreError, TimeoutError):
                continue  # a head or a store that is away is asked again; the attempt itself meets it, if it stays away
            except Exception as error:  # noqa: BLE001 - the thread's last frame: an attempt need not end with it
                _LOG.warning(f"nobody watches the workers any more: {type(error).__name__}: {error}")
                return

    def _see(self) -> Sight:
        state = ClusterState.now()
        possible = [b for b in state.waiting if any(places(node.total, b) >= 1 for node in state.staying)]
        beats, granted = beats_of(self._attempt), self._wishes.granted()
        lasted_s = self._clock.lasted_s
        silent_s = {beat.rank: lasted_s(f"beat {beat.rank}", beat.count) for beat in beats}
        return Sight(
            crew=self._crew,
            workers=self._workers,
            age_s=self._clock.age_s,
            beats=beats,
            still_s=lasted_s("moves", [(beat.rank, beat.moves) for beat in beats]),
            stuck_s=self._stuck_s,
            silent=frozenset(rank for rank, since_s in silent_s.items() if since_s > min(_SILENT_S, self._stuck_s / 2)),
            leaving=frozenset(node.id for node in state.nodes if node.leaving),
            waiting=possible if self._crew.is_elastic else (),
            waiting_s=lasted_s("waiting", bool(possible)),
            granted=granted,
            granted_s=lasted_s("granted", granted),
        )

    def _tell(self, sight: Sight) -> None:
        """Says once of each standstill that there is one, and once that it is over, if it ends by itself."""
        doubted = doubt(sight)
        if doubted is not None and not self._doubts:
            _LOG.warning(doubted)
        all_move = len(sight.beats) == sight.workers and sight.still_s <= sight.stuck_s
        if self._doubts and doubted is None and all_move:
            _LOG.warning("the ranks move again")
        self._doubts = doubted is not None

    def _act(self, judged: GoOn | Verdict) -> None:
        """Ends the attempt once for a reason, and later only what is stuck."""
        if self._ended.is_set():
            return
        if isinstance(judged, Stuck):
            self.verdict = judged
            for beat in judged.ranks:
                kill(beat)
            self._clock.begin_again()
        elif self.verdict is None and isinstance(judged, GoOn):
            self._wishes.ask_for(judged.welcome)
        elif self.verdict is None:
            assert not isinstance(judged, GoOn)
            self._stop()
            self.verdict = judged


class _Clock:
    """For how long something has been as it is."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[object, float]] = {}
        self._began_s = time.monotonic()

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._began_s

    def begin_again(self) -> None:
        self._since = {}

    def lasted_s(self, name: str, value: object) -> float:
        """Seconds since a thing was first seen with this value, without another one in between."""
        now_s = time.monotonic()
        if name not in self._since or self._since[name][0] != value:
            self._since[name] = value, now_s
        return now_s - self._since[name][1]


def kill(beat: Beat) -> None:
    """Kills a rank's process, by a task on its node: also one that is stopped, or hangs in foreign code.

    A node that doesn't answer is left to Ray, which finds out that it is dead.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node_id=beat.node, soft=False)
    task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(_kill)
    ray.wait([task.remote(beat.pid)], timeout=_KILL_WITHIN_S)


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
