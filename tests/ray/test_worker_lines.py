"""What tasks print is heard, with where it comes from."""

from __future__ import annotations

import threading

import ray

from cluster.session import Session
from cluster.worker_lines import worker_lines


def test_what_a_task_prints_is_heard_while_the_block_runs(ray_session: Session) -> None:
    heard, arrived = list[str](), threading.Event()

    def hear(line: str) -> None:
        heard.append(line)
        if "the last of it" in line:
            arrived.set()

    @ray.remote(num_cpus=0.1)
    def speak(words: str) -> None:
        import sys

        sys.stderr.write(f"{words}\n")

    with worker_lines(hear):
        while not arrived.is_set():  # what is printed before the subscription stands is not heard
            ray.get(speak.remote("the last of it"))
            arrived.wait(1.0)
    line = next(line for line in heard if "the last of it" in line)
    assert " pid " in line and line.endswith("speak: the last of it")
