"""When a job that waits for room speaks, and what it says."""

from __future__ import annotations

import threading

import pytest

from cluster.capacity import Capacity, NodeType
from cluster.state import Node
from cluster.waiting import Turns, _waits, _watch, shortage

PIECE = {"CPU": 0.5}


def node(id: str, free: dict[str, float], total: dict[str, float]) -> Node:
    return Node(id=id, free=free, total=total, leaving=False)


def told(looks: list[tuple[float, bool]]) -> list[str]:
    """What is said by looks at these seconds, each of which sees a wait or none."""
    turns, said = Turns(), []
    for now_s, waits in looks:
        if not waits:
            if (waited_s := turns.end(now_s)) is not None:
                said.append(f"{now_s:g}: on after {waited_s:g}")
        elif turns.is_due(now_s):
            turns.tell()
            said.append(f"{now_s:g}: waits")
    return said


def test_a_wait_is_said_after_ten_seconds_then_at_twice_the_age_and_at_its_end() -> None:
    looks = [(float(second), True) for second in range(100, 200, 2)] + [(200.0, False), (202.0, False)]
    assert told(looks) == ["110: waits", "120: waits", "140: waits", "180: waits", "200: on after 100"]


def test_short_waits_are_not_said_however_many_there_are() -> None:
    assert told([(float(second), second % 8 != 0) for second in range(100)]) == []


def test_a_wait_is_told_in_numbers_and_with_what_may_come() -> None:
    nodes = [node("a", {"CPU": 0.25}, {"CPU": 2}), node("b", {}, {"CPU": 1})]
    totals = [each.total for each in nodes]
    gpus = NodeType(name="gpus", resources={"CPU": 4, "GPU": 2}, most=4)
    here = Capacity(nodes=totals)
    assert shortage(PIECE, nodes, here) == "waiting for 0.5 CPU: 0.25 free of 3"
    assert (
        shortage({"CPU": 0.1, "GPU": 2}, nodes, Capacity(nodes=totals, types=(gpus,)))
        == "waiting for 2 GPU: 0 free of 0, the autoscaler may add up to 8"
    )
    assert shortage(PIECE, nodes, Capacity(nodes=totals, types=None)).endswith(" of 3, an autoscaler may add some")


def test_enough_in_all_but_on_no_node_is_said_as_that() -> None:
    nodes = [node(name, {"CPU": 0.3}, {"CPU": 1}) for name in "ab"]
    assert shortage(PIECE, nodes, Capacity(nodes=[])) == "waiting for 0.5 CPU: 0.6 free of 2, on no node enough"


def test_only_what_asks_for_just_as_much_is_taken_for_this_jobs() -> None:
    assert _waits({"CPU": 1 / 3}, [{"GPU": 1.0}, {"CPU": 0.3333}])
    assert not _waits(PIECE, [{"CPU": 0.5, "GPU": 1.0}, {"CPU": 1.0}])


@pytest.mark.parametrize("is_up", [True, False])
def test_a_look_that_fails_as_the_process_leaves_its_ray_ends_the_watch_and_any_other_is_told(
    is_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AttributeError("no gcs_client")

    monkeypatch.setattr("cluster.waiting._look", fail)
    monkeypatch.setattr("cluster.waiting._LOOK_EVERY_S", 0.0)
    monkeypatch.setattr("ray.is_initialized", lambda: is_up)
    if is_up:
        with pytest.raises(AttributeError):
            _watch(PIECE, Turns(), threading.Event())
    else:
        _watch(PIECE, Turns(), threading.Event())
