"""The live release: a candidate beside the stable version in one replica, who answers what, and who scores it too.

Requests of the candidate's share are scored by both versions, one to answer and the other behind the answer, so that
their scores can be compared. Whatever goes wrong in the candidate, the stable version answers.
"""

from __future__ import annotations

import asyncio
import logging
import time

import numpy as np

from raymill.errors import DataError
from raymill.release import Release
from raymill.scoring import aligned
from serving.tally import Tally
from serving.version import Rows, Version

logger = logging.getLogger("ray.serve")
# Requests that wait to be scored a second time; beyond, they aren't.
_MOST_BEHIND = 64


class LiveRelease:
    """One stage of a release; its methods belong to the replica's event loop, but for `tally.report`."""

    def __init__(self, release: Release, stable: Version, candidate: Version) -> None:
        self.release, self.candidate = release, candidate
        self._stable = stable
        self.tally = Tally(stable.task, candidate.task)
        self._behind: set[asyncio.Task[None]] = set()

    async def score(self, rows: Rows, request_id: str) -> tuple[Version, np.ndarray]:
        """The scores of a request's rows and the version that made them. Raises what the stable version raises."""
        if not self.release.takes(request_id):
            return self._stable, await self._counted(self._stable, rows)
        if not self.release.shadow:
            try:
                scores = await self._counted(self.candidate, rows)
            except Exception as error:  # noqa: BLE001 (a candidate's failure is no caller's)
                self._say_why(error)
                return self._stable, await self._stable.score(rows)
            self._later(rows, candidate=scores)
            return self.candidate, scores
        scores = await self._counted(self._stable, rows)
        self._later(rows, stable=scores)
        return self._stable, scores

    async def _counted(self, version: Version, rows: Rows) -> np.ndarray:
        started_s, is_candidate = time.perf_counter(), version is self.candidate
        try:
            scores = await version.score(rows)
        except BaseException:
            self.tally.failed(is_candidate, time.perf_counter() - started_s)
            raise
        self.tally.answered(is_candidate, scores, time.perf_counter() - started_s)
        return scores

    def _later(self, rows: Rows, stable: np.ndarray | None = None, candidate: np.ndarray | None = None) -> None:
        """Has the version that hasn't scored the rows yet do so behind the answer."""
        if len(self._behind) >= _MOST_BEHIND:
            self.tally.skipped()
            return
        task = asyncio.get_running_loop().create_task(self._pair(rows, stable, candidate))
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _pair(self, rows: Rows, stable: np.ndarray | None, candidate: np.ndarray | None) -> None:
        try:
            if candidate is None:
                candidate = await self._counted(self.candidate, rows)
            if stable is None:
                stable = await self._stable.score(rows)
        except Exception as error:  # noqa: BLE001 (nobody waits for it)
            self._say_why(error)
            return
        self.tally.paired(stable, aligned(candidate, self.candidate.task, self._stable.task))

    def _say_why(self, error: Exception) -> None:
        if not isinstance(error, DataError):
            logger.error("version %s failed: %r", self.candidate.label, error)
