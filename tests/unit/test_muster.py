"""What is said of a crew that waits for room. That it waits is proven on clusters, in tests/cluster."""

from __future__ import annotations

from cluster.capacity import Capacity, NodeType
from cluster.crew import Crew
from cluster.muster import _asked, _free, _may_be
from cluster.state import ClusterState, Node

GPUS = Crew.of(2, 2, cpus=1, gpus=1)
NODE = Node(id="n", total={"CPU": 4.0}, free={"CPU": 2.5}, leaving=False)
GOING = Node(id="m", total={"CPU": 64.0, "GPU": 8.0}, free={"CPU": 64.0, "GPU": 8.0}, leaving=True)
STATE = ClusterState(nodes=(NODE, GOING), waiting=())
HERE = Capacity(nodes=[NODE.total])
SCALED = Capacity(nodes=[NODE.total], types=[NodeType(name="gpu", resources={"CPU": 8.0, "GPU": 4.0}, most=2)])


def test_it_is_said_for_what_a_training_waits_and_what_may_come() -> None:
    assert _asked(GPUS) == "2 workers with 1 CPU and 1 GPU each"
    assert _asked(Crew.of(1, 8, cpus=0.5, gpus=0)) == "a worker with 0.5 CPU"
    assert _free(GPUS, STATE, HERE) == "2.5 CPU free of 4; 0 GPU free of 0; 1 node"
    assert "0 GPU free of 0, the autoscaler may add up to 8" in _free(GPUS, STATE, SCALED)


def test_what_no_node_has_may_still_come_where_an_autoscaler_has_such_nodes() -> None:
    assert not _may_be(GPUS, HERE)
    assert _may_be(GPUS, SCALED)
    assert _may_be(GPUS, Capacity(nodes=[NODE.total], types=None))
    assert _may_be(Crew.of(4, 4, cpus=1, gpus=0), HERE)
