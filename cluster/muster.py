"""Mustering: a training waits until the cluster has room for its crew, and says for what it waits."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from cluster.capacity import Capacity
from cluster.crew import Crew
from cluster.session import types_here
from cluster.state import ClusterState
from cluster.waiting import Turns
from cluster.wishes import Wishes, is_granted
from raymill.errors import MachineError, ResourceError

IMPOSSIBLE_FOR_S = 600.0
_POLL_S = 0.5
_SETTLE_S = 1.0


def muster(crew: Crew, say: Callable[[str], None], has_ended: Callable[[], bool]) -> int:
    """How many workers have room, at once where all have; otherwise waits for the least, as long as it takes.

    Returns 0 where `has_ended` has become true meanwhile. Raises MachineError when for ten minutes no node that is
    there was large enough, even if it were empty.
    """
    from ray.util import placement_group, remove_placement_group

    if crew.room(ClusterState.now().staying) >= crew.most:
        return crew.most
    name = uuid.uuid4().hex[:8]
    gang = placement_group([dict(crew.each)] * crew.least, name=f"raymill-crew-{name}")
    wishes = Wishes(name, crew.each)
    try:
        wishes.ask_for(crew.most - crew.least)
        if not _wait(lambda: is_granted(gang), crew, say, has_ended):
            return 0
        time.sleep(_SETTLE_S if crew.is_elastic else 0)
        return crew.least + wishes.granted()
    finally:
        wishes.withdraw()
        remove_placement_group(gang)


def _wait(is_there: Callable[[], bool], crew: Crew, say: Callable[[str], None], has_ended: Callable[[], bool]) -> bool:
    turns, types, possible_s = Turns(), types_here(), time.monotonic()
    while not is_there():
        if has_ended():
            return False
        now_s, state = time.monotonic(), ClusterState.now()
        capacity = Capacity(nodes=[node.total for node in state.staying], types=types)
        if _may_be(crew, capacity):
            possible_s = now_s
        if now_s - possible_s > IMPOSSIBLE_FOR_S:
            raise MachineError(
                f"For {IMPOSSIBLE_FOR_S / 60:.0f} minutes no node of the cluster was there for {_asked(crew)}: "
                f"{_free(crew, state, capacity)}.",
                "Add nodes, or ask for less in train; the same command continues.",
            )
        if turns.is_due(now_s):
            turns.tell()
            say(f"waiting for {_asked(crew)}: {_free(crew, state, capacity)}")
        time.sleep(_POLL_S)
    if (waited_s := turns.end(time.monotonic())) is not None:
        say(f"goes on after {waited_s:.0f} s of waiting")
    return True


def _may_be(crew: Crew, capacity: Capacity) -> bool:
    """Whether there would be room for the least on the nodes that are here and may come, if nobody else were there."""
    try:
        capacity.require(crew.each.get("CPU", 0), crew.each.get("GPU", 0), crew.least)
    except ResourceError:
        return False
    return True


def _asked(crew: Crew) -> str:
    each = " and ".join(f"{amount:g} {name}" for name, amount in crew.each.items() if amount > 0)
    return f"{crew.least} workers with {each} each" if crew.least > 1 else f"a worker with {each}"


def _free(crew: Crew, state: ClusterState, capacity: Capacity) -> str:
    parts = []
    for name in crew.each:
        free, total = (sum(getattr(node, which).get(name, 0) for node in state.staying) for which in ("free", "total"))
        parts.append(f"{free:g} {name} free of {total:g}{capacity.more(name)}")
    nodes = "node" if len(state.staying) == 1 else "nodes"
    return f"{'; '.join(parts)}; {len(state.staying)} {nodes}"
