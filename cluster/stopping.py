"""Ctrl-C, SIGTERM and a closed terminal: they mean the same, and where work can be kept the first asks.

The second insists, but for a terminal's: its shell and the kernel may both tell of it.

A handler runs in the midst of whatever the main thread does, which may hold any lock: it writes, waits and takes
nothing. What it has to say is said by another thread.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType

from raymill.console import Console


class _Asked:
    """Whether a KeyboardInterrupt of ours has been raised: not an Event, which has a lock."""

    is_so = False


_asked = _Asked()


def _stops() -> tuple[signal.Signals, ...]:
    """The signals that ask to stop; a closed terminal's is not one of them where `nohup` has turned it off."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hangs_up else ()))


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Inside the block SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does; nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _raise) for number in _stops()}
    earlier, _asked.is_so = _asked.is_so, False
    try:
        yield
    finally:
        _asked.is_so = _asked.is_so or earlier
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
    return _asked.is_so


def _raise(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGHUP and _asked.is_so:
        return
    _asked.is_so = True
    raise KeyboardInterrupt


@contextmanager
def on_interrupt(ask: Callable[[], None], console: Console) -> Iterator[None]:
    """Inside the block a first Ctrl-C or SIGTERM calls `ask`, from a thread; a second raises KeyboardInterrupt."""
    asked = False
    heard: SimpleQueue[bool] = SimpleQueue()  # whose put may interrupt any code, its own get too

    def listen() -> None:
        if heard.get():
            console.say("stopping, with a checkpoint if a step is under way; once more to stop at once")
            ask()

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGHUP:
            return
        if asked:
            _raise(number, frame)
        asked = True
        heard.put(True)

    listener = threading.Thread(target=listen, name="interrupt", daemon=True)
    listener.start()
    before = {number: signal.signal(number, handle) for number in _stops()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        heard.put(False)
        listener.join()


@contextmanager
def waiting_for_interrupt() -> Iterator[Callable[[float], bool]]:
    """Inside the block Ctrl-C and SIGTERM do nothing but end a wait of so many seconds, which says whether one came."""
    heard: SimpleQueue[None] = SimpleQueue()

    def wait(timeout_s: float) -> bool:
        try:
            heard.get(timeout=timeout_s)
        except Empty:
            return False
        return True

    before = {number: signal.signal(number, lambda *_: heard.put(None)) for number in _stops()}
    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
