"""What to do after an attempt at training: a pure function of how it ended and of what the ones before it have cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cluster.oversight import Move, Resize
from raymill.errors import MachineError, OutOfMemory, RaymillError, StoreError, StoreRefused, UserError, WorkerLost
from raymill.out_of_memory import is_out_of_memory

MAX_RETRIES = 3
MAX_PREEMPTIONS = 20
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0
_DEATHS = {
    "NodeDiedError",
    "PreemptionError",
    "RayActorError",
    "WorkerCrashedError",
    "WorkerGroupStartupFailedError",
    "WorkerHealthCheckFailedError",
    "WorkerHealthCheckTimeoutError",
}
_NO_ROOM = "WorkerGroupStartupTimeoutError"
_NODE_DEATHS = ("node was terminated", "node was preempted", "its node has died", "node has crashed")
_LOST_PEER_TYPES = {"DistBackendError", "DistNetworkError", "DistStoreError"}
_LOST_PEER_TEXTS = (
    "Connection closed by peer",
    "Connection refused",
    "Connection reset",
    "Broken pipe",
    "Socket Timeout",
    "Timed out waiting",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How an attempt is made, and what has been spent since training last got further.

    `passes`: in how many parts a rank's share of a step goes through the model; `most`: the most workers that it begins
    with, None for as many as the spec says; `step`: the newest checkpoint's; `cause`: what the store said first.
    """

    number: int = 1
    passes: int = 1
    most: int | None = None
    step: int = 0
    failures: int = 0
    preemptions: int = 0
    cause: StoreError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Wait, then start the workers again; they continue from the newest checkpoint."""

    kind: Literal["failure", "memory", "preemption", "resize", "room"]
    reason: str
    attempt: Attempt
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Raise this error."""

    error: Exception


def after_a_stop(cause: Move | Resize | None, attempt: Attempt, step: int) -> Again | GiveUp:
    """Decides after ranks that were asked to stop: elsewhere, or with other workers, they go on from that step."""
    spent = _refilled(attempt, step)
    if cause is None:
        return _failed(None, "its ranks stopped, and nobody had asked them to", spent)
    if isinstance(cause, Resize):
        resized = replace(spent, number=spent.number + 1, most=cause.workers)
        return Again(kind="resize", reason=cause.reason, attempt=resized)
    return _preempted(cause.reason, spent)


def after_failures(
    failures: Sequence[BaseException], attempt: Attempt, step: int, ranks: Sequence[int] = (), *, refused: bool = False
) -> Again | GiveUp:
    """Decides from the failures, whose `ranks` may be known, and from the step of the newest checkpoint.

    The user's own error is never retried. What the machine did is, three times without a checkpoint that got further:
    a process or node that died, a store that failed, ranks that say nothing but that a peer went away. A node that was
    taken away on purpose has a budget of its own. Where memory ran out, a step is made in two passes, once. Workers
    that got no room in time, since another job took it between mustering and their start, cost nothing: mustering waits
    for it. A store that has refused a rank, and is `refused` to whoever asks it now, refuses the next ranks too, so
    that is raised at once. So is anything else, also when other ranks only tell of having lost the one that raised it.
    """
    spent = _refilled(attempt, step)
    chains = [_innermost_first(failure) for failure in failures]
    errors = [error for chain in chains for error in chain]
    own = next((e for e in errors if isinstance(e, UserError)), None)
    if own is not None:
        return GiveUp(error=own)
    starved = next((e for e in errors if isinstance(e, OutOfMemory)), None)
    if starved is not None or any(is_out_of_memory(e) for e in errors):
        return _starved(starved or next(e for e in errors if is_out_of_memory(e)), spent)
    if any(_NO_ROOM in _names(e) for e in errors):
        waiting = replace(spent, number=spent.number + 1)
        reason = "the room for its workers was taken by another job meanwhile"
        return Again(kind="room", reason=reason, attempt=waiting, wait_s=_FIRST_WAIT_S)
    if any(getattr(e, "preempted", False) or "PreemptionError" in _names(e) for e in errors):
        return _preempted("its node was taken away", spent)
    machine = next((e for e in errors if isinstance(e, MachineError) or _names(e) & _DEATHS), None)
    unexplained = next((chain for chain in chains if not _lost_peer(chain[0])), None)
    if machine is None and unexplained is not None:
        return GiveUp(error=_to_raise(unexplained))
    if refused and isinstance(machine, StoreRefused):
        return GiveUp(error=machine)
    first = next((rank for rank, chain in zip(ranks, chains, strict=False) if machine in chain), None)
    who = "" if first is None or len(ranks) < 2 else f"rank {first}: "
    return _failed(machine, f"{who}{_reason(machine, errors)}", spent)


def _refilled(attempt: Attempt, step: int) -> Attempt:
    """The attempt with any number of workers again, and with nothing spent where training has got further since."""
    free = replace(attempt, most=None)
    return replace(free, step=step, failures=0, preemptions=0, cause=None) if step > attempt.step else free


def _failed(machine: BaseException | None, reason: str, spent: Attempt) -> Again | GiveUp:
    failures = spent.failures + 1
    cause = spent.cause or (machine if isinstance(machine, StoreError) else None)
    if failures <= MAX_RETRIES:
        wait_s = min(_FIRST_WAIT_S * 4 ** (failures - 1), _LONGEST_WAIT_S)
        following = replace(spent, number=spent.number + 1, failures=failures, cause=cause)
        return Again(kind="failure", reason=reason, attempt=following, wait_s=wait_s)
    return _spent(machine, reason, cause, failures)


def _spent(machine: BaseException | None, reason: str, cause: StoreError | None, failures: int) -> GiveUp:
    """The last error where that is one of ours; what the store said first is told where the last one hides it."""
    if cause is not None and not isinstance(machine, StoreError):
        last = f"The last of {failures} failures: {reason.rstrip('.')}."
        return GiveUp(error=type(cause)(f"{cause.what} {last}", cause.fix))
    if isinstance(machine, MachineError):
        return GiveUp(error=machine)
    return GiveUp(
        error=WorkerLost(
            f"Training lost a worker {failures} times without getting further; the last time: {reason.rstrip('.')}.",
            "See `dmesg` or the node's memory and disk; the same command continues from the last checkpoint.",
        )
    )


def _starved(error: BaseException, spent: Attempt) -> Again | GiveUp:
    """One attempt more with half the rows at a time; then advice."""
    reason = error.what if isinstance(error, RaymillError) else _sentence(error)
    if spent.passes == 1:
        halved = replace(spent, number=spent.number + 1, passes=2)
        return Again(kind="memory", reason=f"{reason.rstrip('.')}; half the rows at a time now", attempt=halved)
    if isinstance(error, OutOfMemory):
        return GiveUp(error=error)
    return GiveUp(
        error=OutOfMemory(
            f"Training ran out of memory, also with half the rows at a time: {reason.rstrip('.')}.",
            "Lower train.batch_size, use more train.workers or a smaller model, or nodes with more memory; the same "
            "command continues.",
        )
    )


def _preempted(reason: str, spent: Attempt) -> Again | GiveUp:
    preemptions = spent.preemptions + 1
    if preemptions <= MAX_PREEMPTIONS:
        following = replace(spent, number=spent.number + 1, preemptions=preemptions)
        return Again(kind="preemption", reason=reason, attempt=following)
    return GiveUp(
        error=WorkerLost(
            f"Nodes were taken away {preemptions} times without training getting further; the last time: {reason}.",
            "Use nodes that stay longer, or a shorter train.checkpoint_every; the same command continues.",
        )
    )


def _reason(machine: BaseException | None, errors: list[BaseException]) -> str:
    if isinstance(machine, RaymillError):
        return machine.what.rstrip(".")
    if machine is not None:
        return _death(machine)
    if not errors:
        return "no worker said why"
    told = next((text for error in errors for text in _LOST_PEER_TEXTS if text in str(error)), None)
    return f"a rank has lost another one: {told}" if told else _sentence(errors[0])


def _death(error: BaseException) -> str:
    """How a process ended, in fewer words than Ray's, where it is known."""
    text = str(error)
    if "NodeDiedError" in _names(error) or any(words in text for words in _NODE_DEATHS):
        return "its node died"
    if "ActorUnavailableError" in _names(error):
        return "its process, or its node, can't be reached"
    return "its process died" if "RayActorError" in _names(error) else _sentence(error)


def _to_raise(chain: list[BaseException]) -> Exception:
    error = next((e for e in chain if isinstance(e, RaymillError)), chain[0])
    return error if isinstance(error, Exception) else RuntimeError(_sentence(error))


def _innermost_first(error: BaseException) -> list[BaseException]:
    """What an error wraps, by Ray's several ways of wrapping, and then the error itself."""
    chain = [error]
    while (inner := _wrapped(chain[-1])) is not None and all(inner is not e for e in chain):
        chain.append(inner)
    return chain[::-1]


def _wrapped(error: BaseException) -> BaseException | None:
    names = ("cause", "_base_exc", "health_check_failure", "controller_failure", "__cause__")
    wrapped = (getattr(error, name, None) for name in names)
    return next((inner for inner in wrapped if isinstance(inner, BaseException)), None)


def _lost_peer(error: BaseException) -> bool:
    """Whether a rank only says that another one went away, in the words of gloo or NCCL."""
    return bool(_names(error) & _LOST_PEER_TYPES) or any(text in str(error) for text in _LOST_PEER_TEXTS)


def _names(error: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
