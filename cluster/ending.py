"""The error of ours that a command ends with, whatever it raised."""

from __future__ import annotations

import platform

from cluster.stopping import is_asked_to_stop
from raymill.console import FULL
from raymill.errors import InternalError, Interrupted, MachineError, RaymillError


def as_ours(error: BaseException) -> RaymillError:
    """The error itself, or one that it caused: an interruption that was asked for, a full disk, a head that is away.

    What is left is a defect.
    """
    if isinstance(error, RaymillError):
        return error
    if isinstance(error, KeyboardInterrupt) or is_asked_to_stop():
        return _caused(error, Interrupted("Stopped at once.", "What is done is kept; the same command continues."))
    if isinstance(error, OSError) and error.errno in FULL:
        return _caused(
            error,
            MachineError(
                f"A disk of {platform.node()} is full: {error.filename or error.strerror}.",
                "Make room there; the same command continues from what is in the store.",
            ),
        )
    if any(kind.__name__ == "RpcError" for kind in type(error).__mro__):  # without importing Ray
        return _caused(
            error,
            MachineError(
                f"Ray's head doesn't answer: {' '.join(str(error).split())[:200].rstrip('.')}.",
                "See that its node is up; the same command continues from what is in the store.",
            ),
        )
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
