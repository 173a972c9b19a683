"""What becomes of a training attempt that runs: a pure function of what its overseer sees.

The overseer sees and acts; here is only decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster.beats import Beat
from cluster.crew import Crew
from cluster.state import Bundle

STUCK_S = 300.0
SETTLED_S = 10.0
RESIZE_EVERY_S = 60.0
_DOUBT = 0.3  # of the time after which ranks are stuck


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is seen of an attempt with so many workers.

    `still_s`: since any rank has moved, of which `stuck_s` are too many; `silent`: ranks that have stopped beating;
    `waiting`: what others wait for, for `waiting_s`; `granted`: more workers that have room, for `granted_s`.
    """

    crew: Crew
    workers: int
    age_s: float
    beats: tuple[Beat, ...] = ()
    still_s: float = 0.0
    stuck_s: float = STUCK_S
    silent: frozenset[int] = frozenset()
    leaving: frozenset[str] = frozenset()
    waiting: Sequence[Bundle] = field(default=())
    waiting_s: float = 0.0
    granted: int = 0
    granted_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GoOn:
    """Leave it as it is; `welcome` more workers would be."""

    welcome: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Stop with a checkpoint and start again elsewhere: a node is about to go."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """Stop with a checkpoint and start again with at most so many workers."""

    reason: str
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """End the ranks that keep the others from going on."""

    reason: str
    ranks: tuple[Beat, ...]


Verdict = Move | Resize | Stuck


def judge(sight: Sight) -> GoOn | Verdict:
    """Decides; what is urgent comes first: a node that goes, a rank that is stuck, others that wait, room for more."""
    if found := [beat for beat in sight.beats if beat.node in sight.leaving]:
        ranks = ", ".join(str(beat.rank) for beat in found)
        return Move(reason=f"the node {found[0].node[:8]} of rank {ranks} is about to be taken away")
    if sight.beats and sight.still_s > sight.stuck_s:
        return _stuck(sight)
    if sight.waiting:
        left = sight.crew.after_giving_way(sight.workers, sight.waiting)
        if left < sight.workers and sight.waiting_s >= SETTLED_S:
            return Resize(reason="another job waits for room", workers=left)
        return GoOn()
    if sight.granted and sight.granted_s >= SETTLED_S and sight.age_s >= RESIZE_EVERY_S:
        return Resize(reason="there is room for more", workers=min(sight.workers + sight.granted, sight.crew.most))
    return GoOn(welcome=sight.crew.most - sight.workers if sight.age_s >= SETTLED_S else 0)


def doubt(sight: Sight) -> str | None:
    """What is to be said of ranks that stand still, long before they are ended for it."""
    if not sight.beats or not _DOUBT * sight.stuck_s < sight.still_s <= sight.stuck_s:
        return None
    return f"{_stuck(sight).reason}; after {sight.stuck_s:.0f} s this counts as a death"


def _stuck(sight: Sight) -> Stuck:
    """The ranks that are silent or don't wait for the others; all where none is, or where those have not begun."""
    found = tuple(beat for beat in sight.beats if beat.rank in sight.silent or not beat.waits)
    absent = sorted(set(range(sight.workers)) - {beat.rank for beat in sight.beats})
    if absent and not found:
        who = ", ".join(f"rank {rank}" for rank in absent)
        return Stuck(reason=f"{who} did not begin for {sight.still_s:.0f} s, and the others waited", ranks=sight.beats)
    ranks = found or sight.beats
    who = ", ".join(f"rank {beat.rank} (process {beat.pid} on node {beat.node[:8]})" for beat in ranks)
    return Stuck(reason=f"{who} did not move for {sight.still_s:.0f} s, and the others waited", ranks=ranks)
