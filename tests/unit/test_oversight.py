"""What becomes of a running attempt, from what is seen of it."""

from __future__ import annotations

from dataclasses import replace

from cluster.beats import Beat
from cluster.crew import Crew
from cluster.oversight import RESIZE_EVERY_S, SETTLED_S, STUCK_S, GoOn, Move, Resize, Sight, Stuck, doubt, judge


def beat(rank: int, node: str = "a" * 56, waits: bool = False) -> Beat:
    return Beat(rank=rank, node=node, pid=100 + rank, count=5, moves=7, waits=waits)


BEATS = (beat(0, waits=True), beat(1, node="b" * 56))
SIGHT = Sight(crew=Crew.of(1, 4, cpus=1, gpus=0), workers=2, age_s=1000, beats=BEATS)
ANOTHER_WAITS = replace(SIGHT, waiting=({"CPU": 1.0},), waiting_s=SETTLED_S)


def test_an_attempt_that_goes_well_goes_on_and_would_welcome_what_the_spec_allows() -> None:
    assert judge(SIGHT) == GoOn(welcome=2)
    assert judge(replace(SIGHT, age_s=1)) == GoOn(welcome=0)


def test_a_node_that_is_about_to_go_moves_the_attempt_where_it_holds_a_rank() -> None:
    moved = judge(replace(SIGHT, leaving=frozenset({"b" * 56})))
    assert moved == Move(reason="the node bbbbbbbb of rank 1 is about to be taken away")
    assert judge(replace(SIGHT, leaving=frozenset({"c" * 56}))) == GoOn(welcome=2)


def test_the_rank_that_does_not_wait_is_the_one_that_is_stuck() -> None:
    stuck = judge(replace(SIGHT, still_s=STUCK_S + 1))
    assert isinstance(stuck, Stuck) and stuck.ranks == (BEATS[1],)
    assert stuck.reason == "rank 1 (process 101 on node bbbbbbbb) did not move for 301 s, and the others waited"
    assert isinstance(judge(replace(SIGHT, still_s=STUCK_S - 1)), GoOn)


def test_a_silent_rank_is_stuck_and_all_are_where_each_waits_for_the_others() -> None:
    all_wait = (beat(0, waits=True), beat(1, waits=True))
    silent = judge(replace(SIGHT, beats=all_wait, still_s=STUCK_S + 1, silent=frozenset({0})))
    assert isinstance(silent, Stuck) and silent.ranks == (all_wait[0],)
    nobody = judge(replace(SIGHT, beats=all_wait, still_s=STUCK_S + 1))
    assert isinstance(nobody, Stuck) and nobody.ranks == all_wait


def test_a_rank_that_does_not_begin_is_named_and_those_that_wait_for_it_are_ended() -> None:
    stuck = judge(replace(SIGHT, beats=BEATS[:1], still_s=STUCK_S + 1))
    assert stuck == Stuck(reason="rank 1 did not begin for 301 s, and the others waited", ranks=BEATS[:1])


def test_a_standstill_is_doubted_long_before_it_ends_a_rank() -> None:
    assert doubt(replace(SIGHT, still_s=0.3 * STUCK_S)) is None
    assert doubt(replace(SIGHT, still_s=91)) == (
        "rank 1 (process 101 on node bbbbbbbb) did not move for 91 s, and the others waited; "
        "after 300 s this counts as a death"
    )
    assert doubt(replace(SIGHT, still_s=STUCK_S + 1)) is doubt(replace(SIGHT, beats=(), still_s=91)) is None


def test_ranks_of_which_none_has_begun_are_not_stuck() -> None:
    assert isinstance(judge(replace(SIGHT, beats=(), still_s=10 * STUCK_S)), GoOn)


def test_workers_give_way_to_what_has_waited_for_a_while_and_nothing_is_wished_meanwhile() -> None:
    assert judge(ANOTHER_WAITS) == Resize(reason="another job waits for room", workers=1)
    assert judge(replace(ANOTHER_WAITS, waiting_s=SETTLED_S - 1)) == GoOn()
    assert judge(replace(ANOTHER_WAITS, granted=2, granted_s=100)) == Resize(
        reason="another job waits for room", workers=1
    )


def test_the_least_workers_stay_whoever_waits() -> None:
    assert judge(replace(ANOTHER_WAITS, workers=1)) == GoOn()


def test_more_workers_are_taken_when_their_room_has_come_and_not_too_often() -> None:
    grown = replace(SIGHT, granted=1, granted_s=SETTLED_S)
    assert judge(grown) == Resize(reason="there is room for more", workers=3)
    assert judge(replace(grown, granted=9)) == Resize(reason="there is room for more", workers=4)
    assert judge(replace(grown, age_s=RESIZE_EVERY_S - 1)) == GoOn(welcome=2)
    assert judge(replace(grown, granted_s=1)) == GoOn(welcome=2)
