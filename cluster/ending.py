"""The error of ours that a command ends with, whatever it raised."""

from __future__ import annotations

from cluster.stopping import is_asked_to_stop
from raymill.errors import InternalError, Interrupted, RaymillError


def as_ours(error: BaseException) -> RaymillError:
    """The error itself, or one that it caused: an interruption where one was asked for, else a defect of ours."""
    if isinstance(error, RaymillError):
        return error
    if isinstance(error, KeyboardInterrupt) or is_asked_to_stop():
        return _caused(error, Interrupted("Stopped at once.", "What is done is kept; the same command continues."))
    return _caused(
        error,
        InternalError(
            f"{type(error).__name__}: {' '.join(str(error).split())}",
            "This is a defect of raymill's; please report it.",
        ),
    )


def _caused(cause: BaseException, error: RaymillError) -> RaymillError:
    error.__cause__ = cause
    return error
