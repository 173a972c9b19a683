"""Every error that raymill raises on purpose, sorted by who has to act.

RaymillError
├── UserError           exit 2   your spec or your data: never retried
│   ├── SpecError                the YAML file or an override
│   ├── DataError                a table, a column, a row, a value
│   └── ResourceError            asks for what this machine or cluster can never give
├── MachineError        exit 3   the machine: retried from the last checkpoint
│   ├── StoreError               a folder or bucket that can't be read or written
│   │   └── StoreRefused         its service answered that this user may not
│   ├── TrackerError             MLflow can't be reached or refuses
│   ├── OutOfMemory              a process needed more than its machine or accelerator has
│   └── WorkerLost               a process or node died
├── Interrupted         exit 130 you: Ctrl-C or SIGTERM; the same command continues
└── InternalError       exit 70  us: please report it, with the traceback of --debug

Each carries two sentences: what happened, naming the thing and the value found, and what to do about it.
"""

from __future__ import annotations

__all__ = [
    "DataError",
    "InternalError",
    "Interrupted",
    "MachineError",
    "OutOfMemory",
    "RaymillError",
    "ResourceError",
    "SpecError",
    "StoreError",
    "StoreRefused",
    "TrackerError",
    "UserError",
    "WorkerLost",
]


class RaymillError(Exception):
    """What happened and what to do: two lines, picklable, with an exit code for its owner."""

    exit_code = 70

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n{self.fix}"

    def __reduce__(self) -> tuple[type[RaymillError], tuple[str, str]]:
        return type(self), (self.what, self.fix)


class UserError(RaymillError):
    """Your spec or your data; running it again unchanged fails again."""

    exit_code = 2


class SpecError(UserError):
    """The YAML file or an override is wrong."""


class DataError(UserError):
    """A table, column, row or value is not what the spec says it is."""


class ResourceError(UserError):
    """More is asked for than this machine or cluster can ever give."""


class MachineError(RaymillError):
    """The machine failed; the same command continues from the last checkpoint."""

    exit_code = 3


class StoreError(MachineError):
    """The store can't be read or written."""


class StoreRefused(StoreError):
    """The store's service answered that this user may not, as when credentials have expired."""


class TrackerError(MachineError):
    """MLflow can't be reached, or refused."""


class OutOfMemory(MachineError):
    """A process needed more memory than its machine or accelerator has."""


class WorkerLost(MachineError):
    """A worker process or its node died."""


class Interrupted(RaymillError):
    """Stopped by Ctrl-C or SIGTERM, with everything so far kept."""

    exit_code = 130


class InternalError(RaymillError):
    """A defect of raymill's own."""
