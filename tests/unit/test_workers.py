"""Training workers: the thread beside the main one. Ray itself runs in tests/ray."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from cluster.workers import beside, unled

INTERRUPTED = """
import os, signal, threading, time
from cluster.workers import beside, unled
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    beside(lambda: time.sleep(600))
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_function_beside_the_main_thread_returns_and_raises_as_it_would_here() -> None:
    assert beside(threading.current_thread) is not threading.main_thread()
    with pytest.raises(ZeroDivisionError):
        beside(lambda: 1 // 0)


def test_ctrl_c_waits_neither_for_the_thread_nor_at_the_end_of_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=300)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("stopped\n", "", 0)


def test_a_controller_that_could_not_begin_tells_the_last_line_of_its_traceback() -> None:
    said = 'The actor died because of an error in its creation task, ray::Controller\n  File "x"\nOSError: expired.'
    assert unled(said, True).what == "The process that leads the ranks could not begin: OSError: expired."
    assert unled("The actor died unexpectedly.", False).what.endswith("controller, died.")
