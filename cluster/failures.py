"""What Ray raises, and the error of ours that is inside it."""

from __future__ import annotations

from collections.abc import Iterator

from raymill.errors import RaymillError, WorkerLost


def unwrap(error: Exception) -> Exception:
    """The RaymillError that a task or an actor raised, out of Ray's wrappings; any other error as it is.

    A task whose worker died, as often as it was started, is a WorkerLost.
    """
    from ray import exceptions

    # Raised when the attempts that a task or an actor has are spent.
    deaths = (
        exceptions.NodeDiedError,
        exceptions.LocalRayletDiedError,
        exceptions.OutOfMemoryError,
        exceptions.RayActorError,
        exceptions.WorkerCrashedError,
    )
    chain = list(_inside(error))
    # Ray's own wrapping of an error is made a subclass of the error's class.
    own = (e for e in chain if isinstance(e, RaymillError) and not hasattr(e, "as_instanceof_cause"))
    dead = (e for e in chain if isinstance(e, deaths))
    if (found := next(own, None)) is not None:
        return found
    death = next(dead, None)
    return error if death is None else _lost(isinstance(death, exceptions.OutOfMemoryError))


def _inside(error: Exception) -> Iterator[BaseException]:
    """The error and all that it was raised from or wraps, each once, outermost first."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        inner = waiting.pop(0)
        if id(inner) in seen:
            continue
        seen.add(id(inner))
        yield inner
        causes = (getattr(inner, "cause", None), inner.__cause__, inner.__context__)
        waiting.extend(cause for cause in causes if isinstance(cause, BaseException))


def _lost(starved: bool) -> WorkerLost:
    if starved:
        return WorkerLost(
            "A worker needed more memory than its node has, each time that it was started.",
            "Use nodes with more memory for each CPU, then type the same command again.",
        )
    return WorkerLost(
        "A worker process died, each time that it was started.",
        "See the node's `dmesg`, memory and disk, and Ray's logs with --debug; then type the same command again.",
    )
