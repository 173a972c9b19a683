"""Training workers: the thread beside the main one, and a cluster without room. Ray itself runs in tests/ray."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerGroupStartupTimeoutError

from cluster.crew import Crew
from cluster.retry import MAX_RETRIES, Again, Attempt, GiveUp, after_failures
from cluster.workers import _explained, beside
from raymill.errors import MachineError

CREW = Crew.of(3, 3, cpus=0.5, gpus=1)
INTERRUPTED = """
import os, signal, threading, time
from cluster.workers import beside
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    beside(lambda: time.sleep(60))
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_function_beside_the_main_thread_returns_and_raises_as_it_would_here() -> None:
    assert beside(threading.current_thread) is not threading.main_thread()
    with pytest.raises(ZeroDivisionError):
        beside(lambda: 1 // 0)


def test_ctrl_c_waits_neither_for_the_thread_nor_at_the_end_of_the_process() -> None:
    began_s = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=50)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("stopped\n", "", 0)
    assert time.monotonic() - began_s < 30


def test_a_cluster_without_room_is_a_machine_error_in_its_own_words_and_not_retried_without_end() -> None:
    full = _explained(WorkerGroupStartupTimeoutError(3), CREW, 3)
    assert isinstance(full, MachineError)
    assert full.what == (
        "Training asked for 3 workers with 0.5 CPU and 1 GPU each, and the cluster had no room for all of them in time."
    )
    assert isinstance(after_failures([full], Attempt(), 0), Again)
    assert after_failures([full], Attempt(failures=MAX_RETRIES), 0) == GiveUp(error=full)


def test_any_other_failure_to_start_is_left_as_it_is() -> None:
    failure = WorkerGroupStartupFailedError("a node died")
    assert _explained(failure, CREW, 3) is failure
