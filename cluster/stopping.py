"""Ctrl-C and SIGTERM: the first asks, the second insists."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from raymill.console import Console


@contextmanager
def on_interrupt(ask: Callable[[], None], console: Console) -> Iterator[None]:
    """Inside the block a first Ctrl-C or SIGTERM calls `ask`; a second raises KeyboardInterrupt."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        console.say("stopping with a checkpoint after this step; once more to stop at once")
        ask()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
