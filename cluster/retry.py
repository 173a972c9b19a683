"""What to do about a failed attempt at training: a pure function of the failure and the attempts before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raymill.errors import MachineError, RaymillError, UserError, WorkerLost

MAX_RETRIES = 3
_DEATHS = {
    "NodeDiedError",
    "PreemptionError",
    "RayActorError",
    "WorkerCrashedError",
    "WorkerGroupStartupFailedError",
    "WorkerHealthCheckFailedError",
    "WorkerHealthCheckTimeoutError",
}
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
class Retry:
    """Start the workers again; they continue from the newest checkpoint."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Raise this error."""

    error: Exception


def decide(failures: Iterable[BaseException], attempt: int) -> Retry | GiveUp:
    """Decides from the ranks' failures, `attempt` counting from 1.

    The user's own error is never retried. What the machine did is, three times: a process or node that died, a
    store that failed, ranks that say nothing but that a peer went away. Anything else is raised as it is, also
    when other ranks only tell of having lost the one that raised it.
    """
    chains = [_innermost_first(failure) for failure in failures]
    errors = [error for chain in chains for error in chain]
    own = next((e for e in errors if isinstance(e, UserError)), None)
    if own is not None:
        return GiveUp(error=own)
    machine = next((e for e in errors if isinstance(e, MachineError) or _names(e) & _DEATHS), None)
    unexplained = next((chain for chain in chains if not _lost_peer(chain[0])), None)
    if machine is None and unexplained is not None:
        return GiveUp(error=_to_raise(unexplained))
    reason = _reason(machine, errors)
    if attempt <= MAX_RETRIES:
        return Retry(reason=reason)
    if isinstance(machine, MachineError):
        return GiveUp(error=machine)
    return GiveUp(
        error=WorkerLost(
            f"Training lost a worker {attempt} times; the last time: {reason.rstrip('.')}.",
            "See `dmesg` or the node's memory; the same command continues from the last checkpoint.",
        )
    )


def _reason(machine: BaseException | None, errors: list[BaseException]) -> str:
    if isinstance(machine, RaymillError):
        return machine.what
    if machine is not None or not errors:
        return _sentence(machine) if machine is not None else "no worker said why"
    told = next((text for error in errors for text in _LOST_PEER_TEXTS if text in str(error)), None)
    return f"a rank has lost another one: {told}" if told else _sentence(errors[0])


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
