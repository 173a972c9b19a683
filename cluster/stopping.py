"""Ctrl-C and SIGTERM: they mean the same, and where work can be kept the first asks and the second insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from raymill.console import Console


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Inside the block SIGTERM raises KeyboardInterrupt; does nothing outside the main thread."""
    before = signal.getsignal(signal.SIGTERM)
    take_sigterm()
    try:
        yield
    finally:
        _set_sigterm(before)


def take_sigterm() -> None:
    """Lets SIGTERM raise KeyboardInterrupt, whoever has taken it meanwhile."""
    _set_sigterm(_raise)


def _set_sigterm(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


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
