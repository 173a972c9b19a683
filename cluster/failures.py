"""What Ray raises, and the error of ours that is inside it."""

from __future__ import annotations

from raymill.errors import RaymillError


def unwrap(error: Exception) -> Exception:
    """The RaymillError that a task or an actor raised, out of Ray's wrappings; any other error as it is."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        inner = waiting.pop(0)
        # Ray's own wrapping of an error is made a subclass of the error's class.
        if isinstance(inner, RaymillError) and not hasattr(inner, "as_instanceof_cause"):
            return inner
        if id(inner) not in seen:
            seen.add(id(inner))
            causes = (getattr(inner, "cause", None), inner.__cause__, inner.__context__)
            waiting.extend(cause for cause in causes if isinstance(cause, BaseException))
    return error
