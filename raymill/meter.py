"""A meter: what hears a job's numbers while it works. It knows neither who wants them nor how they travel."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raymill.history import EpochRecord


class Meter:
    """Hears a job's numbers and forgets them; one that exports them takes its place."""

    def worked(self, rows: int) -> None:
        """So many rows more were read or scored."""

    def epoch(self, record: EpochRecord) -> None:
        """An epoch is over, now or before this job began."""

    def retried(self, reason: str) -> None:
        """Work begins again after a failure; `reason` is its kind, a word or two of a short list."""

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """The job waits while the block runs; `what` for, in a few words that repeat."""
        return nullcontext()
