"""A process of this machine, by its number: whether it is still there."""

from __future__ import annotations

import os


def is_there(pid: int) -> bool:
    """Whether a process of that number runs here; a number may have been given anew."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
