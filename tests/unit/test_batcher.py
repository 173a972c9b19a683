from __future__ import annotations

import asyncio

import numpy as np
import pytest

from raymill.encodings import Features
from serving.batcher import Batcher


class Doubler:
    """Scores twice the value, refuses 13, and remembers how many rows each call had."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, features: Features) -> np.ndarray:
        self.calls.append(features.rows)
        values = features.numbers[:, 0]
        if 13 in values:
            raise ValueError("thirteen")
        return 2 * values


def _rows(*values: int) -> Features:
    return Features(numbers=np.array(values)[:, None], categories=np.empty((len(values), 0)))


def _submit(batcher: Batcher, *parts: Features) -> list[object]:
    async def together() -> list[object]:
        return await asyncio.gather(*map(batcher.submit, parts), return_exceptions=True)

    return asyncio.run(together())


def test_requests_that_arrive_together_are_scored_in_one_call_and_get_their_own_rows() -> None:
    score = Doubler()
    answers = _submit(Batcher(score, 256), _rows(1, 2), _rows(3), _rows(4, 5, 6))
    assert [list(answer) for answer in answers] == [[2, 4], [6], [8, 10, 12]]
    assert score.calls == [6]


def test_a_batch_has_at_most_the_rows_allowed_but_a_larger_request_passes_alone() -> None:
    score = Doubler()
    answers = _submit(Batcher(score, 3), _rows(1, 1), _rows(2, 2), _rows(*range(5)), _rows(3), _rows(4))
    assert [len(answer) for answer in answers] == [2, 2, 5, 1, 1]
    assert score.calls == [2, 2, 5, 2]


def test_a_request_alone_waits_for_no_timer() -> None:
    async def turns() -> int:
        batcher = Batcher(Doubler(), 256)
        waiting = asyncio.ensure_future(batcher.submit(_rows(1)))
        count = 0
        while not waiting.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert asyncio.run(turns()) <= 3


def test_a_bad_request_fails_alone() -> None:
    good, bad, other = _submit(Batcher(Doubler(), 256), _rows(1), _rows(13), _rows(2))
    assert (list(good), list(other)) == ([2], [4])
    assert isinstance(bad, ValueError)


def test_a_caller_that_went_away_is_not_scored() -> None:
    score = Doubler()

    async def leave() -> list[int]:
        batcher = Batcher(score, 256)
        gone = asyncio.ensure_future(batcher.submit(_rows(1)))
        stays = asyncio.ensure_future(batcher.submit(_rows(2)))
        await asyncio.sleep(0)
        gone.cancel()
        return list(await stays)

    assert asyncio.run(leave()) == [4]
    assert score.calls == [1]


@pytest.mark.parametrize("rows", [0, 1])
def test_batches_follow_one_another(rows: int) -> None:
    async def twice() -> list[int]:
        batcher = Batcher(Doubler(), 256)
        await batcher.submit(_rows(*[7] * rows))
        return list(await batcher.submit(_rows(8)))

    assert asyncio.run(twice()) == [16]
