"""Faults in the middle of a run on a cluster: it ends with the result of an undisturbed one, and nothing is lost.

The ranks wait in a given training step (`held.py`) while a test does its deed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import held
from tests.cluster.conftest import Laptop

pytestmark = pytest.mark.faults
# 455 rows in batches of 64 are 8 steps an epoch; a rank fits on any node but the head, one on each.
TRAIN = {"epochs": 4, "workers": 2, "batch_size": 64, "checkpoint_every": 5, "cpus_per_worker": 1.5}
STORE = "s3://mill-test/faults"
MIDDLE = 13
_REACHED_WITHIN_S = 180.0


@dataclass
class Held:
    """A training whose ranks wait in a step."""

    process: subprocess.Popen[str]
    folder: Path

    def ranks(self) -> list[dict[str, Any]]:
        """Where each rank is, as soon as all have come to the step."""
        until_s = time.monotonic() + _REACHED_WITHIN_S
        reached = [self.folder / f"reached-{rank}" for rank in range(TRAIN["workers"])]
        while not all(file.exists() for file in reached):
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < until_s, "the ranks did not come to the step"
            time.sleep(0.1)
        return [json.loads(file.read_text()) for file in reached]

    def go(self) -> tuple[dict[str, Any], str]:
        """Lets the ranks go on; the command's report and what it said, when it has ended."""
        (self.folder / "go").touch()
        out, err = self.process.communicate(timeout=240)
        assert self.process.returncode == 0, err
        return json.loads(out), err


Hold = Callable[[int], Held]


@pytest.fixture
def hold(laptop: Laptop, tmp_path: Path) -> Iterator[Hold]:
    """Starts a training that waits in a step; whoever is still waiting when the test ends is let go."""
    shutil.copy(held.__file__, laptop.folder / "held.py")
    started: list[Held] = []

    def start(step: int) -> Held:
        model = {"import": "held.build_model", "options": {"folder": str(tmp_path), "step": step}}
        laptop.spec("held", model=model, train=TRAIN, store=STORE)
        started.append(Held(laptop.start("train", "held.yaml", "--json"), tmp_path))
        return started[-1]

    yield start
    (tmp_path / "go").touch()
    for each in started:
        each.process.kill()
        each.process.communicate()


@pytest.fixture(scope="module")
def undisturbed(laptop: Laptop) -> dict[str, Any]:
    """The report of the same training without a fault."""
    shutil.copy(held.__file__, laptop.folder / "held.py")
    laptop.spec("held", model={"import": "held.build_model"}, train=TRAIN, store=STORE)
    done = laptop.type("train", "held.yaml", "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_node_that_is_lost_changes_nothing_but_the_time(
    laptop: Laptop, hold: Hold, undisturbed: dict[str, Any]
) -> None:
    storm = hold(MIDDLE)
    first, _ = storm.ranks()
    laptop.nodes.kill(first["node"])
    laptop.nodes.add()
    report, said = storm.go()
    assert "attempt 1 failed" in said and "continuing from step 10" in said
    assert report["metrics"] == undisturbed["metrics"]
