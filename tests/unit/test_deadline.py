from __future__ import annotations

import asyncio

import pytest

from serving.deadline import Deadline


async def _late() -> str:
    await asyncio.sleep(30)
    return "late"


async def _in_time() -> str:
    await asyncio.sleep(0)
    return "in time"


def test_what_is_in_time_is_returned_and_leaves_no_timer() -> None:
    async def run() -> tuple[str, int]:
        loop = asyncio.get_running_loop()
        answer = await Deadline(30).bounds(_in_time())
        return answer, sum(not timer.cancelled() for timer in loop._scheduled)  # type: ignore[attr-defined]

    assert asyncio.run(run()) == ("in time", 0)


def test_what_waits_longer_is_cancelled_and_the_task_goes_on() -> None:
    async def run() -> int:
        with pytest.raises(TimeoutError):
            await Deadline(0.01).bounds(_late())
        await asyncio.sleep(0.01)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert asyncio.run(run()) == 0


def test_an_error_of_the_work_is_its_own_also_a_timeout() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def run(error: Exception) -> None:
        await Deadline(30).bounds(fail(error))

    for error in (ValueError("x"), TimeoutError("of a store")):
        with pytest.raises(type(error), match=str(error)):
            asyncio.run(run(error))


def test_a_client_who_left_cancels_as_ever_also_when_the_deadline_passes_at_the_same_time() -> None:
    async def run(seconds: float) -> None:
        task = asyncio.ensure_future(_bounded(seconds))
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + 0.02
        while loop.time() < end_s:
            pass  # so that both come in one turn of the loop
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def _bounded(seconds: float) -> None:
        await Deadline(seconds).bounds(_late())

    asyncio.run(run(30))
    asyncio.run(run(0.01))
