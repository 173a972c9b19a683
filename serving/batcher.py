"""The batcher: requests that arrive together are scored together, and one that comes alone waits for nobody.

It knows encoded rows and a scoring function, no HTTP. Everything runs on one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import numpy as np

from raymill.encodings import Features

Score = Callable[[Features], np.ndarray]


class Batcher:
    """Collects what one turn of the event loop brings and scores it together, at most `max_rows` rows at a time.

    While a batch is scored the loop stands still, so that the next batch gathers by itself in the sockets: batches
    grow with the load and no timer holds back a lone request. A request of more rows makes a batch of its own.
    """

    def __init__(self, score: Score, max_rows: int) -> None:
        self._score, self._max_rows = score, max_rows
        self._waiting: deque[tuple[Features, asyncio.Future[np.ndarray]]] = deque()

    async def submit(self, features: Features) -> np.ndarray:
        """The scores of encoded rows, `(rows, ...)`. Raises what scoring them alone raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[np.ndarray] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((features, future))
        return await future

    def _flush(self) -> None:
        batch = [(features, future) for features, future in self._take() if not future.cancelled()]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        if not batch:
            return
        outcome = self._outcome([features for features, _ in batch])
        if isinstance(outcome, Exception) and len(batch) > 1:
            for features, future in batch:  # one bad request fails alone
                _settle(future, self._outcome([features]))
            return
        start = 0
        for features, future in batch:
            _settle(future, outcome if isinstance(outcome, Exception) else outcome[start : start + features.rows])
            start += features.rows

    def _take(self) -> list[tuple[Features, asyncio.Future[np.ndarray]]]:
        batch = [self._waiting.popleft()]
        rows = batch[0][0].rows
        while self._waiting and rows + self._waiting[0][0].rows <= self._max_rows:
            batch.append(self._waiting.popleft())
            rows += batch[-1][0].rows
        return batch

    def _outcome(self, parts: list[Features]) -> np.ndarray | Exception:
        try:
            return self._score(Features.joined(parts))
        except Exception as error:  # noqa: BLE001 (whoever awaits the future raises it)
            return error


def _settle(future: asyncio.Future[np.ndarray], outcome: np.ndarray | Exception) -> None:
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
