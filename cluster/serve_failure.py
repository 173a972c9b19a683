"""What Ray Serve says in text when replicas do not start, and the error of ours that is inside it."""

from __future__ import annotations

import re

from raymill import errors
from raymill.errors import InternalError, RaymillError

_CAUSE = re.compile(r"^((?:\w+\.)*)(\w+(?:Error|Exception|Lost)): (.+)\n?(.*)", re.MULTILINE)


def cause_of(message: str) -> RaymillError:
    """The error inside the text by which Serve reports that replicas did not start, with its owner.

    What isn't one of raymill's errors is ours, and named by its last line.
    """
    found = _CAUSE.findall(message)
    for module, name, what, fix in reversed(found):
        kind = getattr(errors, name, None) if module == "raymill.errors." else None
        if isinstance(kind, type) and issubclass(kind, RaymillError):
            return kind(what, fix)
    last = f"{found[-1][1]}: {found[-1][2]}" if found else message.strip().splitlines()[-1]
    return InternalError(f"{last.rstrip('.')}.", "Run it again with --debug and report what it prints.")
