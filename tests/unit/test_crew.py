"""How many workers have room, and how many give way."""

from __future__ import annotations

import math

import pytest

from cluster.crew import Crew, places
from cluster.state import Node

CREW = Crew.of(1, 8, cpus=0.5, gpus=0)
GPU_CREW = Crew.of(1, 8, cpus=1, gpus=1)


def node(**free: float) -> Node:
    return Node(id="n", total=free, free=free, leaving=False)


def test_a_process_has_room_where_one_node_has_all_that_it_asks_for() -> None:
    assert places({"CPU": 2.0}, {"CPU": 0.5}) == 4
    assert places({"CPU": 0.3 * 3}, {"CPU": 0.3}) == 3
    assert places({"CPU": 8.0, "GPU": 1.0}, {"CPU": 1, "GPU": 1}) == 1
    assert places({"CPU": 8.0}, {"CPU": 1, "GPU": 1}) == 0
    assert places({}, {"CPU": 0}) == math.inf


def test_room_is_counted_node_by_node_and_up_to_the_most() -> None:
    assert CREW.room([node(CPU=0.9), node(CPU=0.9)]) == 2
    assert CREW.room([node(CPU=16)]) == 8
    assert GPU_CREW.room([node(CPU=16), node(CPU=4, GPU=2)]) == 2
    assert Crew.of(1, 3, cpus=0, gpus=0).room([node(CPU=1)]) == 3


@pytest.mark.parametrize(
    ("waiting", "stay"),
    [
        ([], 6),
        ([{"CPU": 0.5}], 5),
        ([{"CPU": 1.0}], 4),
        ([{"CPU": 0.5}, {"CPU": 0.6}], 3),
        ([{"CPU": 100.0}], 1),
        ([{"GPU": 1.0}], 6),
        ([{"CPU": 1.0, "GPU": 1.0}], 6),
        ([{}], 6),
    ],
)
def test_as_many_give_way_as_hold_what_others_wait_for(waiting: list[dict[str, float]], stay: int) -> None:
    assert CREW.after_giving_way(6, waiting) == stay


def test_gpus_are_given_as_well() -> None:
    assert GPU_CREW.after_giving_way(4, [{"CPU": 1, "GPU": 2}]) == 2
    assert GPU_CREW.after_giving_way(4, [{"CPU": 3}]) == 1
