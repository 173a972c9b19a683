"""What a cluster could ever hold, with what its autoscaler may add, and where that is told."""

from __future__ import annotations

import pytest

from cluster.capacity import Capacity, NodeType, types_in
from raymill.errors import ResourceError

NODES = [{"CPU": 2.0}, {"CPU": 1.0, "GPU": 1.0}]
GPU_TYPE = NodeType(name="gpu-group", resources={"CPU": 8, "GPU": 2}, most=4)

# Written by Ray 2.60's two autoscalers.
V1 = """\
2026-11-22 22:38:46,580	INFO autoscaler.py:311 -- worker_liveness_check:True
2026-11-22 22:38:46,585	INFO autoscaler.py:361 -- StandardAutoscaler: {'cluster_name': 'far', 'max_workers': 8, \
'provider': {'type': 'external'}, 'available_node_types': {'gpu-group': {'resources': {'CPU': 8, 'GPU': 2}, \
'node_config': {}, 'min_workers': 0, 'max_workers': 4}, 'ray.head.default': {'resources': {'CPU': 1}, \
'node_config': {}, 'max_workers': 0}}, 'head_node_type': 'ray.head.default'}
2026-11-22 22:38:46,590	INFO monitor.py:408 -- Autoscaler has not yet received load metrics. Waiting.
"""
V2 = """\
2026-11-22 22:38:45,235	INFO autoscaler.py:73 -- Using Autoscaling Config:\x20
auth: {}
available_node_types:
  gpu-group:
    max_workers: 4
    min_workers: 0
    resources:
      CPU: 8
      GPU: 2
  ray.head.default:
    max_workers: 0
    resources:
      CPU: 1
max_workers: 8

2026-11-22 22:38:45,308	WARNING util.py:279 -- Dropping the empty legacy field head_node.
"""
READ_ONLY = """\
2026-11-22 22:30:00,634	INFO autoscaler.py:361 -- StandardAutoscaler: {'max_workers': 0, 'provider': \
{'type': 'readonly'}, 'available_node_types': {'ray.head.default': {'resources': {}, 'max_workers': 0}}}
"""


def test_a_process_must_fit_on_one_node() -> None:
    here = Capacity(nodes=NODES)
    here.require(2, 0)
    here.require(0.5, 1)
    with pytest.raises(ResourceError) as caught:
        here.require(2, 1)
    assert caught.value.what == (
        "One process asks for 2 CPUs and 1 GPU, and no node has them: the largest of 2 has 1 CPU and 1 GPU; "
        "there is no autoscaler."
    )
    with pytest.raises(ResourceError, match=r"^One training worker asks for 3 CPUs .* the largest of 2 has 2 CPUs"):
        here.require(3, 0, what="training worker")
    for nodes in ([], [{"CPU": 0.0, "memory": 8e9, "node:10.0.0.1": 1.0}]):  # a head that takes no work is no measure
        with pytest.raises(ResourceError, match="no node has them: there is no autoscaler"):
            Capacity(nodes=nodes).require(1, 0)


def test_all_processes_together_must_fit_on_the_nodes() -> None:
    here = Capacity(nodes=NODES)
    here.require(0.5, 0, count=6)
    here.require(0, 0.5, count=2)
    Capacity(nodes=[{"CPU": 0.3}]).require(0.1, 0, count=3)
    here.require(0, 0, count=1_000)
    with pytest.raises(ResourceError) as caught:
        here.require(0.75, 0, count=4)
    assert caught.value.what == (
        "4 processes ask for 0.75 CPUs and 0 GPUs each, and there is room for 3 of them on 2 nodes with 3 CPUs and "
        "1 GPU together."
    )
    with pytest.raises(ResourceError, match=r"^2 processes ask .* room for 1 of them"):
        here.require(0.5, 1, count=2)


def test_a_node_that_may_come_counts_as_one_that_is_here() -> None:
    growing = Capacity(nodes=NODES, types=(GPU_TYPE,))
    assert not growing.holds(8, 2) and growing.holds(0.5, 1)
    growing.require(8, 2, count=4)
    growing.require(1, 1, count=9)
    with pytest.raises(ResourceError, match=r"room for 0 of them .*, and for 4 more with all that the autoscaler may"):
        growing.require(8, 2, count=5)
    with pytest.raises(ResourceError, match=r"1 GPU; the largest that the autoscaler may add has 8 CPUs and 2 GPUs"):
        growing.require(1, 4)
    assert (growing.may_add("GPU"), growing.may_add("TPU")) == (8, 0)


def test_nodes_that_came_already_are_not_counted_again() -> None:
    grown = Capacity(nodes=[*NODES, {"CPU": 8.0, "GPU": 2.0}], types=(GPU_TYPE,))
    assert grown.may_add("GPU") == 6
    grown.require(8, 2, count=4)
    with pytest.raises(ResourceError, match=r"room for 1 of them .* and for 3 more"):
        grown.require(8, 2, count=5)


def test_nothing_is_refused_where_nobody_knows_what_may_come() -> None:
    Capacity(nodes=NODES, types=None).require(100, 100)
    assert Capacity(nodes=NODES, types=None).may_add("GPU") is None


@pytest.mark.parametrize("log", [V1, V2])
def test_both_autoscalers_tell_their_node_types_when_they_start(log: str) -> None:
    assert types_in(log) == (GPU_TYPE,)


def test_a_head_without_an_autoscaler_says_so_and_a_log_that_was_cut_says_nothing() -> None:
    assert types_in(READ_ONLY) == ()
    assert types_in("") is None
    assert types_in(V1[:400]) is None
    assert types_in(V2[:200]) is None
