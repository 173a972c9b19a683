"""What is retried, how often, and what is raised instead."""

from __future__ import annotations

import pytest
from ray.exceptions import ActorDiedError, NodeDiedError, RayTaskError, WorkerCrashedError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback, WorkerHealthCheckFailedError

from cluster.retry import MAX_RETRIES, GiveUp, Retry, decide
from raymill.errors import DataError, InternalError, SpecError, StoreError, WorkerLost

NAN = DataError("The loss became nan in epoch 1.", "Lower train.optimizer.lr.")
BUSY = StoreError("Could not write s3://b/c: slow down.", "Type the command again.")
PEER = RuntimeError("[gloo/transport/tcp/pair.cc:525] Connection closed by peer [127.0.0.1]:41234")
BUG = ZeroDivisionError("division by zero")


def raised(error: BaseException) -> UserExceptionWithTraceback:
    """An error as Ray Train reports it of a rank."""
    return UserExceptionWithTraceback(error, f"Traceback (most recent call last):\n  ...\n{error}")


def through_a_task(error: Exception) -> BaseException:
    """An error as Ray reports it of a task: of a class made of both."""
    return RayTaskError("train", "Traceback ...", error).as_instanceof_cause()


@pytest.mark.parametrize("attempt", [1, MAX_RETRIES + 1])
@pytest.mark.parametrize("failure", [NAN, raised(NAN), through_a_task(NAN)])
def test_the_users_own_error_is_raised_at_once(failure: BaseException, attempt: int) -> None:
    assert decide([failure], attempt) == GiveUp(error=NAN)


def test_the_users_own_error_counts_for_more_than_what_other_ranks_say_of_it() -> None:
    assert decide([raised(PEER), ActorDiedError(), raised(NAN)], 1) == GiveUp(error=NAN)


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
    assert all(isinstance(decide([failure], attempt), Retry) for attempt in range(1, MAX_RETRIES + 1))
    end = decide([failure], MAX_RETRIES + 1)
    assert isinstance(end, GiveUp) and isinstance(end.error, WorkerLost)
    assert "lost a worker 4 times" in end.error.what


def test_ranks_that_only_lost_a_peer_are_retried() -> None:
    decision = decide([raised(PEER), raised(PEER)], 1)
    assert decision == Retry(reason="a rank has lost another one: Connection closed by peer")


def test_a_lost_process_and_its_peers_are_retried() -> None:
    assert isinstance(decide([raised(PEER), ActorDiedError()], 1), Retry)
    assert isinstance(decide([raised(RuntimeError("something odd")), ActorDiedError()], 1), Retry)


def test_a_defect_on_one_rank_is_raised_though_its_peers_lost_it() -> None:
    assert decide([raised(PEER), raised(BUG)], 1) == GiveUp(error=BUG)
    assert decide([raised(BUG), raised(PEER)], 1) == GiveUp(error=BUG)


def test_a_defect_whose_traceback_speaks_of_sockets_is_a_defect() -> None:
    assert decide([UserExceptionWithTraceback(BUG, "except BrokenPipeError:  # Broken pipe")], 1) == GiveUp(error=BUG)


def test_a_store_that_fails_is_retried_and_then_named() -> None:
    assert decide([raised(BUSY)], MAX_RETRIES) == Retry(reason="Could not write s3://b/c: slow down.")
    assert decide([raised(BUSY)], MAX_RETRIES + 1) == GiveUp(error=BUSY)


def test_an_error_of_ours_is_raised_and_not_what_it_came_from() -> None:
    ours = InternalError("This should not be.", "Report it.")
    ours.__cause__ = BUG
    assert decide([raised(ours)], 1) == GiveUp(error=ours)


def test_workers_that_hang_without_a_word_are_retried() -> None:
    assert decide([], 1) == Retry(reason="no worker said why")


def test_a_reason_is_one_short_line() -> None:
    decision = decide([NodeDiedError("gone\n" * 100)], 1)
    assert isinstance(decision, Retry)
    assert "\n" not in decision.reason and len(decision.reason) <= 160


def test_what_is_no_exception_is_raised_as_one() -> None:
    end = decide([raised(SystemExit("stop"))], 1)
    assert isinstance(end, GiveUp) and isinstance(end.error, RuntimeError)


def test_an_error_that_wraps_itself_ends() -> None:
    circle = RuntimeError("round")
    circle.__cause__ = circle
    assert decide([circle], 1) == GiveUp(error=circle)


def test_a_spec_error_inside_a_failed_start_is_the_users() -> None:
    wrong = SpecError("model.import: could not import a.b.", "Install the module.")
    assert decide([WorkerHealthCheckFailedError("it did not start", raised(wrong))], 1) == GiveUp(error=wrong)
