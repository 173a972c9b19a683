"""Callers of an endpoint: threads that ask until the block ends."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Self


class Callers(ABC):
    """`count` threads, each in `_call`, which returns soon after `_stop` is set."""

    def __init__(self, count: int) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @abstractmethod
    def _call(self, number: int) -> None: ...
