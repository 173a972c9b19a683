"""A node that holds a rank loses its power in the middle of training, and the run ends as if it had not."""

from __future__ import annotations

import json

import pytest

from tests.cluster.conftest import Laptop

# One CPU a node: the ranks are on two of the three nodes, and the third is where the lost one starts again.
TRAIN = {"epochs": 40, "workers": 2, "batch_size": 32, "checkpoint_every": 20, "cpus_per_worker": 0.75}


@pytest.mark.faults
def test_a_node_that_is_lost_changes_nothing_but_the_time(laptop: Laptop) -> None:
    laptop.spec("calm", train=TRAIN)
    calm = laptop.type("train", "calm.yaml", "--json")
    assert calm.returncode == 0, calm.stderr
    laptop.spec("storm", train=TRAIN)
    storm = laptop.start("train", "storm.yaml", "--json")
    assert storm.stderr is not None
    lines = [storm.stderr.readline()]
    while "epoch 1 " not in lines[-1]:
        assert lines[-1], "".join(lines)
        lines.append(storm.stderr.readline())
    laptop.nodes.kill(2)
    out, err = storm.communicate(timeout=240)
    laptop.nodes.add()
    assert storm.returncode == 0, err
    assert "attempt 1 failed" in err and "continuing from step" in err
    assert json.loads(out)["metrics"] == json.loads(calm.stdout)["metrics"]
