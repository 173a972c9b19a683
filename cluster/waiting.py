"""Waiting: tasks or replicas that get no room say for what they wait, as often as bears repeating, and that they go on.

Ray itself says nothing of it to a job. The lines go to the logger `raymill.waiting`, which the command line shows.
Training workers wait in `cluster.muster`, before they are started.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cluster.capacity import Capacity
from cluster.crew import places
from cluster.session import types_here
from cluster.state import Bundle, ClusterState, Node

LOGGER = "raymill.waiting"
_FIRST_LINE_S = 10.0
_LOOK_EVERY_S = 2.0


@dataclass(slots=True)
class Turns:
    """When to speak: after ten seconds of a wait, then each time at twice its age; and at the end of what was told."""

    since_s: float | None = None
    next_s: float = field(default_factory=lambda: _FIRST_LINE_S)
    told: bool = False

    def is_due(self, now_s: float) -> bool:
        """Takes that it is waited now; whether that should be said."""
        if self.since_s is None:
            self.since_s = now_s
        return now_s - self.since_s >= self.next_s

    def tell(self) -> None:
        self.told, self.next_s = True, 2 * self.next_s

    def end(self, now_s: float) -> float | None:
        """Takes that it is not waited; how many seconds a wait took that was told, None where there is none."""
        waited_s = now_s - self.since_s if self.told and self.since_s is not None else None
        self.since_s, self.next_s, self.told = None, _FIRST_LINE_S, False
        return waited_s


@contextlib.contextmanager
def waiting(asked: Bundle) -> Iterator[None]:
    """While the block runs, says when processes of this job that ask for so much each wait for room. Ray must be up."""
    turns, over = Turns(), threading.Event()
    thread = threading.Thread(target=_watch, args=(asked, turns, over), name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    _go_on(turns)


def shortage(asked: Bundle, nodes: Sequence[Node], capacity: Capacity) -> str:
    """For what a process waits that has room on none of the nodes, in numbers."""
    scarce = {name: amount for name, amount in asked.items() if amount > _sum(nodes, "free", name)} or asked
    parts = [
        f"{amount:g} {name}: {_sum(nodes, 'free', name):g} free of {_sum(nodes, 'total', name):g}{capacity.more(name)}"
        for name, amount in scarce.items()
    ]
    return f"waiting for {'; '.join(parts)}{'' if scarce is not asked else ', on no node enough'}"


def _watch(asked: Bundle, turns: Turns, over: threading.Event) -> None:
    import ray

    while not over.wait(_LOOK_EVERY_S):
        try:
            _look(asked, turns)
        except ray.exceptions.RayError:
            pass  # the head doesn't answer: whoever needs it says what became of it
        except Exception:
            if ray.is_initialized():
                raise
            return  # this process left its Ray in the middle of a look


def _look(asked: Bundle, turns: Turns) -> None:
    state, now_s = ClusterState.now(), time.monotonic()
    short = _waits(asked, state.waiting) and not any(places(node.free, asked) >= 1 for node in state.staying)
    if not short:
        _go_on(turns)
    elif turns.is_due(now_s):
        if _is_at_work():
            _go_on(turns)
        else:
            turns.tell()
            capacity = Capacity(nodes=[node.total for node in state.nodes], types=types_here())
            logging.getLogger(LOGGER).warning(shortage(asked, state.staying, capacity))


def _go_on(turns: Turns) -> None:
    if (waited_s := turns.end(time.monotonic())) is not None:
        logging.getLogger(LOGGER).warning(f"goes on after {waited_s:.0f} s of waiting")


def _waits(asked: Bundle, waiting: Sequence[Bundle]) -> bool:
    """Whether something of just this size waits, in the hundredths of a percent that Ray counts in."""
    rounded = {name: round(amount, 4) for name, amount in asked.items() if amount}
    return any({name: round(amount, 4) for name, amount in each.items()} == rounded for each in waiting)


def _is_at_work() -> bool:
    """Whether a task of this job runs now, so that what waits is only the rest of its work."""
    import ray
    from ray._private.state import state
    from ray.core.generated.common_pb2 import TaskStatus, TaskType
    from ray.core.generated.gcs_pb2 import TaskEvents

    job = bytes.fromhex(ray.get_runtime_context().get_job_id())
    for event in map(TaskEvents.FromString, state._connect_and_get_accessor().get_task_events()):
        reached = event.state_updates.state_ts_ns
        ended = TaskStatus.FINISHED in reached or TaskStatus.FAILED in reached
        is_task = event.job_id == job and event.task_info.type == TaskType.NORMAL_TASK
        if is_task and TaskStatus.RUNNING in reached and not ended:
            return True
    return False


def _sum(nodes: Sequence[Node], which: str, name: str) -> float:
    return sum(float(getattr(node, which).get(name, 0)) for node in nodes)
