"""What to do about a failed attempt at training: a pure function of the failure and the attempts before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raymill.errors import RaymillError, UserError, WorkerLost

MAX_RETRIES = 3
_LOST_PEER = ("Connection closed by peer", "Connection reset", "Broken pipe", "Socket Timeout", "Timed out waiting")


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

    The user's own error is never retried. A lost process or node is, three times, and so are the errors of ranks
    whose peer went away. Anything else is raised as it is.
    """
    seen = list(failures)
    own = next((e for f in seen for e in _causes(f) if isinstance(e, UserError)), None)
    if own is not None:
        return GiveUp(error=own)
    lost = next((_sentence(e) for f in seen for e in _causes(f) if _is_loss(e)), None)
    if lost is None:
        return GiveUp(error=next((e for f in seen for e in _causes(f) if isinstance(e, RaymillError)), _first(seen)))
    if attempt > MAX_RETRIES:
        return GiveUp(
            error=WorkerLost(
                f"Training lost a worker {attempt} times; the last time: {lost}.",
                "See `dmesg` or the node's memory; the same command continues from the last checkpoint.",
            )
        )
    return Retry(reason=lost)


def _first(failures: list[BaseException]) -> Exception:
    cause = list(_causes(failures[0]))[-1]
    return cause if isinstance(cause, Exception) else RuntimeError(str(cause))


def _causes(error: BaseException) -> Iterable[BaseException]:
    """An error and what it wraps, by Ray's several ways of wrapping."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        yield error
        for name in ("cause", "_base_exc", "health_check_failure", "controller_failure", "__cause__"):
            inner = getattr(error, name, None)
            if isinstance(inner, BaseException):
                error = inner
                break


def _is_loss(error: BaseException) -> bool:
    names = {cls.__name__ for cls in type(error).__mro__}
    lost = {"RayActorError", "NodeDiedError", "WorkerCrashedError", "WorkerHealthCheckFailedError", "PreemptionError"}
    lost |= {"WorkerHealthCheckTimeoutError", "WorkerGroupStartupFailedError"}
    return bool(names & lost) or any(text in str(error) for text in _LOST_PEER)


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
