"""A process is known from any other that has, had or will have its number."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

from raymill.process import Process

_SAYS_WHO_IT_IS = (
    "from dataclasses import asdict; from raymill.process import Process; import json;"
    "print(json.dumps(asdict(Process.this())), flush=True); input()"
)


def _started() -> tuple[subprocess.Popen[str], Process]:
    command = [sys.executable, "-c", _SAYS_WHO_IT_IS]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child, Process(**json.loads(child.stdout.readline()))


def test_a_process_lives_until_it_ends_and_not_as_a_zombie() -> None:
    child, process = _started()
    assert Process.this().lives() and process.lives() and process != Process.this()
    child.kill()
    until_s = time.monotonic() + 10
    while process.lives() and time.monotonic() < until_s:
        time.sleep(0.01)
    assert process.lives() is False, "it is not waited for yet"
    child.wait()
    assert process.lives() is False


def test_another_process_of_the_same_number_is_another_one() -> None:
    assert replace(Process.this(), born=Process.this().born - 1).lives() is False


def test_what_another_machine_or_container_counts_can_not_be_seen_from_here() -> None:
    assert replace(Process.this(), space="another boot pid:[4026531836]").lives() is None
    assert replace(Process.this(), space="").lives() is None
