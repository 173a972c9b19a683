"""Ctrl-C and SIGTERM: they mean the same, and where work can be kept the first asks and the second insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from raymill.console import Console

_BOTH = (signal.SIGINT, signal.SIGTERM)
_asked = threading.Event()


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Inside the block SIGTERM raises KeyboardInterrupt, as Ctrl-C does; does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _raise) for number in _BOTH}
    earlier = _asked.is_set()
    _asked.clear()
    try:
        yield
    finally:
        if earlier:
            _asked.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def take_sigterm() -> None:
    """Lets SIGTERM raise KeyboardInterrupt, whoever has taken it meanwhile."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _raise)


def is_asked_to_stop() -> bool:
    """Whether a KeyboardInterrupt of ours has been raised in this block, or one in it, whatever became of it.

    In the midst of an import it may turn into any other error, of a module that is not whole.
    """
    return _asked.is_set()


def _raise(number: int, frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt


@contextmanager
def on_interrupt(ask: Callable[[], None], console: Console) -> Iterator[None]:
    """Inside the block a first Ctrl-C or SIGTERM calls `ask`; a second raises KeyboardInterrupt."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            _raise(number, frame)
        asked = True
        console.say("stopping with a checkpoint after this step; once more to stop at once")
        ask()

    before = {number: signal.signal(number, handle) for number in _BOTH}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
