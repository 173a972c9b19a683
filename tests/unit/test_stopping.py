"""Ctrl-C and SIGTERM: the first asks, the second insists."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from cluster.stopping import is_asked_to_stop, on_interrupt, sigterm_as_ctrl_c, take_sigterm, waiting_for_interrupt
from raymill.console import Console


def send(number: signal.Signals) -> None:
    """Sends this process a signal, and lets Python run its handler."""
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_raises(first: signal.Signals, second: signal.Signals) -> None:
    asked, shown = threading.Semaphore(0), io.StringIO()
    with pytest.raises(KeyboardInterrupt), on_interrupt(asked.release, Console(shown)):
        send(first)
        assert asked.acquire(timeout=10)
        send(second)
    assert not asked.acquire(blocking=False)
    assert shown.getvalue() == "stopping, with a checkpoint if a step is under way; once more to stop at once\n"


@pytest.fixture
def in_a_terminal() -> Iterator[None]:
    """As without nohup, under which tests may run."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("in_a_terminal")
def test_a_closed_terminal_asks_as_often_as_it_is_told_of() -> None:
    asked = threading.Semaphore(0)
    with on_interrupt(asked.release, Console(io.StringIO())):
        for _ in range(3):
            send(signal.SIGHUP)
        assert asked.acquire(timeout=10)
    assert not asked.acquire(blocking=False)
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
        try:
            send(signal.SIGHUP)
        finally:
            send(signal.SIGHUP)  # while what there is is being closed


def test_under_nohup_a_closed_terminal_stops_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with sigterm_as_ctrl_c(), waiting_for_interrupt() as is_interrupted:
            send(signal.SIGHUP)
            assert not is_interrupted(0.01)
    finally:
        signal.signal(signal.SIGHUP, before)


class Interrupted:
    """A listener that is sent a signal while it holds its lock, once."""

    def __init__(self) -> None:
        self._lock, self._left, self.heard = threading.Lock(), [signal.SIGTERM], list[str]()

    def hear(self, kind: str, text: str) -> None:
        with self._lock:
            self.heard.append(text)
            if self._left:
                send(self._left.pop())


def test_a_signal_in_the_midst_of_a_line_waits_for_no_lock_of_who_hears_it() -> None:
    console, listener = Console(io.StringIO()), Interrupted()
    with console.heard_by(listener), on_interrupt(lambda: None, console):
        console.say("one line")
    asked = "stopping, with a checkpoint if a step is under way; once more to stop at once"
    assert listener.heard == ["one line", asked]


def test_a_signal_waits_for_no_lock_that_asking_takes() -> None:
    lock, asked = threading.Lock(), list[int]()

    def ask() -> None:
        with lock:
            asked.append(1)

    with on_interrupt(ask, Console(io.StringIO())), lock:
        send(signal.SIGINT)
        assert asked == []
    assert asked == [1]


def test_handlers_are_put_back_however_the_block_ends() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), on_interrupt(lambda: None, Console(io.StringIO())):
        raise ZeroDivisionError
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_without_a_signal_nobody_is_asked() -> None:
    asked = []
    with on_interrupt(lambda: asked.append(1), Console(io.StringIO())):
        pass
    assert asked == []


def test_sigterm_is_a_ctrl_c_also_after_another_library_took_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
        send(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        take_sigterm()
        send(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_block_that_asks_first_counts_for_more_than_the_one_around_it() -> None:
    asked = []
    with sigterm_as_ctrl_c():
        with on_interrupt(lambda: asked.append(1), Console(io.StringIO())):
            send(signal.SIGTERM)
        assert asked == [1]
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
    assert asked == [1]


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    ended = []

    def block() -> None:
        with sigterm_as_ctrl_c():
            ended.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert ended == [signal.getsignal(signal.SIGTERM)]


def test_a_signal_is_known_of_whatever_its_interrupt_has_become() -> None:
    def half_imported() -> None:
        try:
            send(signal.SIGINT)
        except KeyboardInterrupt:
            raise AttributeError("partially initialized module") from None

    with sigterm_as_ctrl_c():
        assert not is_asked_to_stop()
        with pytest.raises(AttributeError):
            half_imported()
        assert is_asked_to_stop()
    with sigterm_as_ctrl_c():
        assert not is_asked_to_stop()
        with pytest.raises(KeyboardInterrupt), on_interrupt(lambda: None, Console(io.StringIO())):
            send(signal.SIGINT)
            send(signal.SIGINT)
        with sigterm_as_ctrl_c():
            assert not is_asked_to_stop()
        assert is_asked_to_stop(), "a block inside another forgets nothing of the outer one's"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_wait_that_was_begun_or_begins(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with waiting_for_interrupt() as is_interrupted:
        assert not is_interrupted(0.01)
        send(number)
        assert is_interrupted(60)
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        assert is_interrupted(60)
    assert signal.getsignal(number) is before
