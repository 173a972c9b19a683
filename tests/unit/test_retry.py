"""What is retried, how often, and what is raised instead."""

from __future__ import annotations

import pytest
import ray
import torch
from ray.exceptions import ActorDiedError, NodeDiedError, RayActorError, RayTaskError, WorkerCrashedError
from ray.train.v2._internal.exceptions import (
    UserExceptionWithTraceback,
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
)

from cluster.oversight import Move, Resize
from cluster.retry import MAX_PREEMPTIONS, MAX_RETRIES, Again, Attempt, GiveUp, after_a_stop, after_failures
from raymill.errors import DataError, InternalError, OutOfMemory, SpecError, StoreError, StoreRefused, WorkerLost

NAN = DataError("The loss became nan in epoch 1.", "Lower train.optimizer.lr.")
BUSY = StoreError("Could not write s3://b/c: slow down.", "Type the command again.")
PEER = RuntimeError("[gloo/transport/tcp/pair.cc:525] Connection closed by peer [127.0.0.1]:41234")
BUG = ZeroDivisionError("division by zero")
FIRST = Attempt()
LAST = Attempt(number=MAX_RETRIES + 1, failures=MAX_RETRIES)


def decide(failures: list[BaseException], attempt: Attempt = FIRST, step: int = 0) -> Again | GiveUp:
    return after_failures(failures, attempt, step)


def raised(error: BaseException) -> UserExceptionWithTraceback:
    """An error as Ray Train reports it of a rank."""
    return UserExceptionWithTraceback(error, f"Traceback (most recent call last):\n  ...\n{error}")


def through_a_task(error: Exception) -> BaseException:
    """An error as Ray reports it of a task: of a class made of both."""
    return RayTaskError("train", "Traceback ...", error).as_instanceof_cause()


@pytest.mark.parametrize("attempt", [FIRST, LAST])
@pytest.mark.parametrize("failure", [NAN, raised(NAN), through_a_task(NAN)])
def test_the_users_own_error_is_raised_at_once(failure: BaseException, attempt: Attempt) -> None:
    assert decide([failure], attempt) == GiveUp(error=NAN)


def test_the_users_own_error_counts_for_more_than_what_other_ranks_say_of_it() -> None:
    assert decide([raised(PEER), ActorDiedError(), raised(NAN)]) == GiveUp(error=NAN)


@pytest.mark.parametrize(
    "failure",
    [
        ActorDiedError(),
        WorkerCrashedError(),
        NodeDiedError("node 1 is gone"),
        WorkerHealthCheckFailedError("a worker does not answer", ActorDiedError()),
    ],
)
def test_a_lost_process_or_node_is_retried_three_times(failure: BaseException) -> None:
    attempt, waits_s = FIRST, []
    for number in range(2, MAX_RETRIES + 2):
        decision = decide([failure], attempt)
        assert isinstance(decision, Again)
        attempt = decision.attempt
        assert (attempt.number, attempt.failures) == (number, number - 1)
        waits_s.append(decision.wait_s)
    assert 0 < waits_s[0] < waits_s[1] < waits_s[2]
    end = decide([failure], attempt)
    assert isinstance(end, GiveUp) and isinstance(end.error, WorkerLost)
    assert "lost a worker 4 times" in end.error.what


def test_ranks_that_only_lost_a_peer_are_retried() -> None:
    decision = decide([raised(PEER), raised(PEER)])
    assert isinstance(decision, Again)
    assert decision.reason == "a rank has lost another one: Connection closed by peer"


def test_the_rank_that_died_is_named_and_not_its_peers() -> None:
    decision = after_failures([raised(PEER), ActorDiedError()], FIRST, 0, ranks=[0, 3])
    assert isinstance(decision, Again) and decision.reason == "rank 3: its process died"


def test_a_lost_process_and_its_peers_are_retried() -> None:
    assert isinstance(decide([raised(PEER), ActorDiedError()]), Again)
    assert isinstance(decide([raised(RuntimeError("something odd")), ActorDiedError()]), Again)


def test_a_defect_on_one_rank_is_raised_though_its_peers_lost_it() -> None:
    assert decide([raised(PEER), raised(BUG)]) == GiveUp(error=BUG)
    assert decide([raised(BUG), raised(PEER)]) == GiveUp(error=BUG)


def test_a_defect_whose_traceback_speaks_of_sockets_is_a_defect() -> None:
    assert decide([UserExceptionWithTraceback(BUG, "except BrokenPipeError:  # Broken pipe")]) == GiveUp(error=BUG)


def test_a_store_that_fails_is_retried_and_then_named() -> None:
    decision = decide([raised(BUSY)])
    assert isinstance(decision, Again) and decision.reason == "Could not write s3://b/c: slow down"
    assert decide([raised(BUSY)], LAST) == GiveUp(error=BUSY)


def test_an_error_of_ours_is_raised_and_not_what_it_came_from() -> None:
    ours = InternalError("This should not be.", "Report it.")
    ours.__cause__ = BUG
    assert decide([raised(ours)]) == GiveUp(error=ours)


def test_workers_without_room_are_mustered_again_as_often_as_it_takes_and_no_failure_is_counted() -> None:
    attempt = LAST
    for number in range(LAST.number + 1, LAST.number + 10):
        decision = decide([WorkerGroupStartupTimeoutError(3)], attempt, step=LAST.step)
        assert isinstance(decision, Again) and decision.kind == "room" and decision.wait_s > 0
        attempt = decision.attempt
        assert (attempt.number, attempt.failures) == (number, LAST.failures)
    assert "taken by another job" in decision.reason


def test_workers_that_could_not_start_for_another_reason_are_retried_as_lost_ones() -> None:
    decision = decide([WorkerGroupStartupFailedError("a node died")])
    assert isinstance(decision, Again) and (decision.kind, decision.attempt.failures) == ("failure", 1)


def test_ranks_that_stopped_although_nobody_had_asked_are_started_again() -> None:
    decision = after_a_stop(None, FIRST, step=7)
    assert isinstance(decision, Again) and (decision.kind, decision.attempt.step) == ("failure", 7)
    assert "nobody had asked" in decision.reason
    assert isinstance(after_a_stop(None, LAST, step=0), GiveUp)


def test_workers_that_hang_without_a_word_are_retried() -> None:
    decision = decide([])
    assert isinstance(decision, Again) and decision.reason == "no worker said why"


def test_a_reason_is_one_short_line() -> None:
    decision = decide([NodeDiedError("gone\n" * 100)])
    assert isinstance(decision, Again)
    assert "\n" not in decision.reason and len(decision.reason) <= 160


def test_what_is_no_exception_is_raised_as_one() -> None:
    end = decide([raised(SystemExit("stop"))])
    assert isinstance(end, GiveUp) and isinstance(end.error, RuntimeError)


def test_an_error_that_wraps_itself_ends() -> None:
    circle = RuntimeError("round")
    circle.__cause__ = circle
    assert decide([circle]) == GiveUp(error=circle)


def test_a_spec_error_inside_a_failed_start_is_the_users() -> None:
    wrong = SpecError("model.import: could not import a.b.", "Install the module.")
    assert decide([WorkerHealthCheckFailedError("it did not start", raised(wrong))]) == GiveUp(error=wrong)


def test_an_attempt_that_got_further_has_all_retries_again() -> None:
    assert isinstance(decide([ActorDiedError()], LAST, step=LAST.step), GiveUp)
    decision = decide([ActorDiedError()], LAST, step=LAST.step + 1)
    assert isinstance(decision, Again)
    assert (decision.attempt.failures, decision.attempt.step) == (1, LAST.step + 1)


STARVED = OutOfMemory("Rank 1 needed more memory than its machine has.", "Lower train.batch_size.")


@pytest.mark.parametrize(
    "failure",
    [
        raised(STARVED),
        raised(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")),
        raised(MemoryError()),
        ray.exceptions.OutOfMemoryError("Task was killed due to the node running low on memory."),
    ],
)
def test_where_memory_ran_out_half_the_rows_are_tried_once_and_then_there_is_advice(failure: BaseException) -> None:
    decision = decide([raised(PEER), failure])
    assert isinstance(decision, Again)
    assert (decision.kind, decision.attempt.passes) == ("memory", 2)
    end = decide([failure], decision.attempt)
    assert isinstance(end, GiveUp) and isinstance(end.error, OutOfMemory)
    assert "train.batch_size" in end.error.fix


def test_a_node_that_is_taken_away_has_a_budget_of_its_own() -> None:
    preempted = RayActorError(preempted=True)
    attempt = LAST
    for _ in range(MAX_PREEMPTIONS):
        decision = decide([raised(PEER), WorkerHealthCheckFailedError("it does not answer", preempted)], attempt)
        assert isinstance(decision, Again) and decision.kind == "preemption"
        attempt = decision.attempt
    assert attempt.failures == LAST.failures
    assert isinstance(decide([preempted], attempt), GiveUp)


def test_ranks_that_were_moved_or_resized_go_on_at_once_and_no_failure_is_counted() -> None:
    moved = after_a_stop(Move(reason="node 1 is about to be taken away"), LAST, step=7)
    assert isinstance(moved, Again)
    assert (moved.kind, moved.wait_s, moved.attempt.failures, moved.attempt.preemptions) == ("preemption", 0, 0, 1)
    resized = after_a_stop(Resize(reason="another job waits", workers=2), moved.attempt, step=7)
    assert isinstance(resized, Again)
    assert (resized.kind, resized.attempt.most, resized.attempt.number) == ("resize", 2, LAST.number + 2)


def test_workers_that_have_given_way_once_may_be_as_many_as_before_later() -> None:
    given_way = after_a_stop(Resize(reason="another job waits", workers=1), LAST, step=7)
    assert isinstance(given_way, Again)
    grown = after_a_stop(Resize(reason="there is room for more", workers=3), given_way.attempt, step=7)
    assert isinstance(grown, Again) and grown.attempt.most == 3
    lost = decide([raised(PEER)], grown.attempt)
    assert isinstance(lost, Again) and lost.attempt.most is None


REFUSED = StoreRefused("Could not write s3://b/c: ExpiredToken.", "Give it credentials.")
UNLED = WorkerLost("The process that leads the ranks could not begin.", "Mend that.")


def test_a_store_that_refuses_the_ranks_and_whoever_asks_is_not_tried_again() -> None:
    assert after_failures([raised(REFUSED)], FIRST, 0, refused=True) == GiveUp(error=REFUSED)
    assert isinstance(after_failures([raised(REFUSED)], FIRST, 0), Again)  # of one node alone: another may be given
    assert isinstance(after_failures([ActorDiedError()], FIRST, 0, refused=True), Again)


def test_what_the_store_said_first_is_told_at_the_end_whatever_came_after_it() -> None:
    decision = decide([raised(REFUSED)])
    for _ in range(MAX_RETRIES):
        assert isinstance(decision, Again)
        decision = decide([UNLED], decision.attempt)
    assert isinstance(decision, GiveUp) and type(decision.error) is StoreRefused
    assert decision.error.what == f"{REFUSED.what} The last of 4 failures: {UNLED.what}"
    assert decision.error.fix == REFUSED.fix


def test_what_the_store_said_before_training_got_further_is_not() -> None:
    decision = decide([raised(BUSY)], LAST, step=LAST.step + 1)
    for step in (LAST.step + 2, *[LAST.step + 2] * MAX_RETRIES):
        assert isinstance(decision, Again)
        decision = decide([ActorDiedError()], decision.attempt, step)
    assert isinstance(decision, GiveUp) and isinstance(decision.error, WorkerLost)
