"""A process, told from any other of its number: one before or after it, of another machine or another container.

A number alone is given anew, and each container may count for itself. So a process is named by its number, the moment
of its start and the space in which both count: the boot of the machine and the PID namespace.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_STATE, _STARTED = 0, 19  # of the fields behind a name in proc(5)'s stat, where both are counted from 1
_ENDED = ("Z", "X", "x")  # of a zombie only its number is left


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """`born` is in clock ticks since the boot, which no correction of the clock changes; `space` "" is not known."""

    pid: int
    space: str
    born: int

    @classmethod
    def this(cls) -> Process:
        pid = os.getpid()
        stat = _stat(pid)
        return cls(pid=pid, space=_space() if stat else "", born=int(stat[_STARTED]) if stat else 0)

    def lives(self) -> bool | None:
        """Whether it is still there; None where that can't be seen from here."""
        if not self.space or self.space != _space():
            return None
        stat = _stat(self.pid)
        if stat is None:
            return None if _is_hidden(self.pid) else False
        return stat[_STATE] not in _ENDED and int(stat[_STARTED]) == self.born


def _space() -> str:
    try:
        return f"{_BOOT.read_text().strip()} {_NAMESPACE.readlink()}"
    except OSError:
        return ""


def _stat(pid: int) -> list[str] | None:
    """What the kernel tells of a process, from its state on; its name, before that, may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _is_hidden(pid: int) -> bool:
    """Whether it is there and another user's, whom /proc may be told not to show."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False
