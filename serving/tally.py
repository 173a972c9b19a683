"""The tally: what a replica has seen of one stage of a release, gathered request by request, summed now and then.

Requests only put things into lists; another thread takes the lists and sums them. It knows scores and seconds, no
requests and no store.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np

from raymill.release_report import ReleaseReport
from raymill.task import Task
from raymill.version_counts import VersionCounts

# Of scores that wait to be summed; those beyond are summed by the request that brings them.
_MOST_ROWS_WAITING = 100_000


@dataclass(slots=True)
class _Seen:
    """What one version did since the last sum."""

    scores: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failed_after_s: list[float] = field(default_factory=list)


class Tally:
    """Counts of the stable version and a candidate, whose scores are all told by `task`, the stable version's.

    Its methods may be called in any thread.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._lock = threading.Lock()
        self._total = ReleaseReport(replicas=1)
        self._clear()

    def answered(self, is_candidate: bool, scores: np.ndarray, seconds: float) -> None:
        """Counts a request that a version answered, or would have."""
        with self._lock:
            seen = self._seen[is_candidate]
            seen.scores.append(scores)
            seen.seconds.append(seconds)
            self._grown(len(scores))

    def failed(self, is_candidate: bool, seconds: float) -> None:
        """Counts a request that a version had no scores for."""
        with self._lock:
            self._seen[is_candidate].failed_after_s.append(seconds)
            self._grown(1)

    def paired(self, stable: np.ndarray, candidate: np.ndarray) -> None:
        """Counts a request that both scored."""
        with self._lock:
            self._pairs.append((stable, candidate))
            self._grown(2 * len(stable))

    def skipped(self) -> None:
        """Counts a request that was to be scored twice, and for want of time was not."""
        with self._lock:
            self._total = self._total.merge(ReleaseReport(skipped=1))

    def report(self) -> ReleaseReport:
        """The sums so far."""
        with self._lock:
            self._sum()
            return self._total

    def _grown(self, rows: int) -> None:
        self._rows += rows
        if self._rows > _MOST_ROWS_WAITING:
            self._sum()

    def _sum(self) -> None:
        stable, candidate = (_counts(seen, self._task) for seen in self._seen)
        if self._pairs:
            theirs, ours = zip(*self._pairs, strict=True)
            candidate = candidate.merge(VersionCounts.of_pairs(self._task, theirs, ours))
        self._total = self._total.merge(ReleaseReport(stable=stable, candidate=candidate))
        self._clear()

    def _clear(self) -> None:
        self._seen = _Seen(), _Seen()
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []
        self._rows = 0


def _counts(seen: _Seen, task: Task) -> VersionCounts:
    found = VersionCounts()
    if seen.scores:
        found = found.merge(VersionCounts.of_answered(task, seen.scores, seen.seconds))
    if seen.failed_after_s:
        found = found.merge(VersionCounts.of_failed(seen.failed_after_s))
    return found
