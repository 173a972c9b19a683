"""Ctrl-C and SIGTERM: the first asks, the second insists."""

from __future__ import annotations

import io
import os
import signal
import time

import pytest

from cluster.stopping import on_interrupt
from raymill.console import Console


def send(number: signal.Signals) -> None:
    """Sends this process a signal, and lets Python run its handler."""
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_raises(first: signal.Signals, second: signal.Signals) -> None:
    asked, shown = [], io.StringIO()
    with pytest.raises(KeyboardInterrupt), on_interrupt(lambda: asked.append(1), Console(shown)):
        send(first)
        assert asked == [1]
        send(second)
    assert asked == [1]
    assert shown.getvalue() == "stopping with a checkpoint after this step; once more to stop at once\n"


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
