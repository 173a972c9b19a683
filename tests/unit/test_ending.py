"""Whose error a command ends with."""

from __future__ import annotations

import errno

from cluster.ending import as_ours
from cluster.stopping import sigterm_as_ctrl_c
from raymill.errors import DataError, InternalError, Interrupted, MachineError


class RpcError(Exception):
    """What Ray raises where its head can't be asked."""


def test_an_error_of_ours_is_itself_and_any_other_has_an_owner() -> None:
    with sigterm_as_ctrl_c():  # in which nobody has interrupted yet
        _have_owners()


def _have_owners() -> None:
    ours = DataError("No such column.", "Correct it.")
    assert as_ours(ours) is ours
    assert isinstance(as_ours(KeyboardInterrupt()), Interrupted)
    defect = as_ours(ValueError("a\nb"))
    assert isinstance(defect, InternalError) and defect.what == "ValueError: a b"
    full = as_ours(OSError(errno.ENOSPC, "No space left on device", "/tmp/ray/x"))
    assert isinstance(full, MachineError) and full.what.endswith(" is full: /tmp/ray/x.")
    away = as_ours(RpcError("failed to connect\nto 10.0.0.5"))
    assert isinstance(away, MachineError)
    assert away.what == "Ray's head doesn't answer: failed to connect to 10.0.0.5."
    assert isinstance(away.__cause__, RpcError)
