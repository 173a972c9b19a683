"""The live release: a candidate beside the stable version in one replica, who answers what, and who scores it too.

Requests of the candidate's share are scored by both versions, one to answer and the other behind the answer, so that
their scores can be compared. Whatever goes wrong in the candidate, the stable version answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import numpy as np

from raymill.errors import DataError, InternalError
from raymill.release import Release
from raymill.scoring import aligned
from serving.tally import Tally
from serving.version import Rows, Version

logger = logging.getLogger("ray.serve")
# Requests that wait to be scored a second time; beyond, they aren't.
_MOST_BEHIND = 64


class LiveRelease:
    """One stage of a release; its methods belong to the replica's event loop, but for `tally.report`.

    `tally` is what the same stage has shown so far.
    """

    def __init__(self, release: Release, stable: Version, candidate: Version, tally: Tally | None = None) -> None:
        self.release, self.candidate = release, candidate
        self._stable = stable
        self.tally = tally or Tally(stable.task)
        self._behind: set[asyncio.Task[None]] = set()
        self._failures: Counter[tuple[str, str]] = Counter()

    async def score(self, rows: Rows, request_id: str) -> tuple[Version, np.ndarray]:
        """The scores of a request's rows and the version that made them. Raises what the stable version raises."""
        if not self.release.takes(request_id):
            return self._stable, await self._counted(self._stable, rows)
        if self.release.shadow:
            return self._stable, await self._shadowed(rows)
        try:
            scores = _sound(await self._counted(self.candidate, rows))
        except Exception as error:  # noqa: BLE001 (a candidate's failure is no caller's)
            self._say_why(self.candidate, error)
            return self._stable, await self._stable.score(rows)
        self._later(self._checked(rows, scores))
        return self.candidate, scores

    async def _shadowed(self, rows: Rows) -> np.ndarray:
        """The stable version's scores. What it refuses is shown to the candidate too, or it alone would be charged."""
        try:
            scores = await self._counted(self._stable, rows)
        except Exception:
            self._later(self._shown(rows, None))
            raise
        self._later(self._shown(rows, scores))
        return scores

    async def _counted(self, version: Version, rows: Rows) -> np.ndarray:
        started_s, is_candidate = time.perf_counter(), version is self.candidate
        try:
            scores = await version.score(rows)
        except (Exception, asyncio.CancelledError) as error:
            # Who left, or waited too long, has been shown one version alone where the other one only looks on.
            if not (self.release.shadow and isinstance(error, asyncio.CancelledError)):
                self.tally.failed(is_candidate, time.perf_counter() - started_s)
            raise
        told = aligned(scores, version.task, self._stable.task)
        self.tally.answered(is_candidate, told, time.perf_counter() - started_s)
        return scores

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Has a request scored a second time behind the answer."""
        if len(self._behind) >= _MOST_BEHIND:
            work.close()
            self.tally.skipped()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _shown(self, rows: Rows, stable: np.ndarray | None) -> None:
        """Rows of which the stable version has said what it could, shown to the candidate."""
        try:
            candidate = await self._counted(self.candidate, rows)
        except Exception as error:  # noqa: BLE001 (nobody waits for it)
            self._say_why(self.candidate, error)
            return
        if stable is not None:
            self._paired(stable, candidate)

    async def _checked(self, rows: Rows, candidate: np.ndarray) -> None:
        """Rows that the candidate has answered, scored by the stable version."""
        try:
            stable = await self._stable.score(rows)
        except Exception as error:  # noqa: BLE001 (nobody waits for it)
            self._say_why(self._stable, error)
            return
        self._paired(stable, candidate)

    def _paired(self, stable: np.ndarray, candidate: np.ndarray) -> None:
        self.tally.paired(stable, aligned(candidate, self.candidate.task, self._stable.task))

    def _say_why(self, version: Version, error: Exception) -> None:
        """The first failures of a kind and then ever fewer of them, since all requests may fail."""
        if isinstance(error, DataError):
            return
        self._failures[kind := (version.label, type(error).__name__)] += 1
        if (times := self._failures[kind]).bit_count() == 1:
            logger.error("version %s failed (%d times so): %r", version.label, times, error)


def _sound(scores: np.ndarray) -> np.ndarray:
    """Raises InternalError where one is no finite number, which no caller could be answered with."""
    if not np.isfinite(scores).all():
        raise InternalError("A score is not a finite number.", "Train again, and look at the loss curve.")
    return scores
