"""Training workers are a torch process group; what they raise comes back as values to decide upon."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import psutil
import pytest
import torch.distributed as dist

from cluster.beats import beats_of
from cluster.crew import Crew
from cluster.retry import Again, Attempt, GiveUp, after_failures
from cluster.workers import WorkerFailure, run_on_workers
from raymill.errors import DataError, WorkerLost
from raymill.loop import Place

pytestmark = pytest.mark.usefixtures("ray_session")


def act(part: str, watched: Watched) -> tuple[int, int] | None:
    """What each rank does in these tests."""
    with watched(place := Place()):
        if part == "hang" and dist.get_rank() == 1:
            time.sleep(600)
        place.waits = True
        return _act(part)


def _act(part: str) -> tuple[int, int] | None:
    if part == "orphan" and dist.get_rank() == 1:
        beside = (process for process in psutil.process_iter() if process.ppid() == os.getppid())
        next(process for process in beside if process.cmdline()[0].startswith("ray::TrainController")).kill()
    if part == "refuse" and dist.get_rank() == 1:
        raise DataError("The loss became nan in epoch 1.", "Lower train.optimizer.lr.")
    dist.barrier()
    return dist.get_rank(), dist.get_world_size()


def conclude(part: str, watched: Watched) -> list[int]:
    """The ranks that are seen when their loops are over."""
    with watched(Place()):
        dist.barrier()
    dist.barrier()
    return [beat.rank for beat in beats_of(watched.args[0])]


Watched = Callable[[Place], AbstractContextManager[None]]


def run(part: str, function: Callable[..., object] = act) -> object:
    crew = Crew.of(2, 2, cpus=0.5, gpus=0)
    return run_on_workers(function, part, crew, 2, attempt=part, stop=lambda: None, stuck_s=6)


def test_workers_meet_and_rank_zero_answers() -> None:
    assert run("meet") == (0, 2)


def test_ranks_whose_loop_is_over_are_not_watched() -> None:
    assert run("conclude", conclude) == []


def test_the_users_error_on_one_rank_comes_back_and_is_not_retried() -> None:
    failure = run("refuse")
    assert isinstance(failure, WorkerFailure)
    decision = after_failures(failure.errors, Attempt(), 0)
    assert isinstance(decision, GiveUp) and isinstance(decision.error, DataError)
    assert decision.error.what == "The loss became nan in epoch 1."


def test_a_rank_that_keeps_the_other_waiting_is_named_and_ended() -> None:
    failure = run("hang")
    assert isinstance(failure, WorkerFailure)
    (error,) = failure.errors
    assert isinstance(error, WorkerLost)
    assert re.match(r"rank 1 \(process \d+ on node \w{8}\) did not move for \d+ s, and the others waited", error.what)
    decision = after_failures(failure.errors, Attempt(), 0)
    assert isinstance(decision, Again) and decision.kind == "failure"


def test_ranks_whose_controller_dies_are_started_again() -> None:
    failure = run("orphan")
    assert isinstance(failure, WorkerFailure)
    decision = after_failures(failure.errors, Attempt(), 0, failure.ranks)
    assert isinstance(decision, Again) and decision.kind == "failure"
    assert decision.reason == "The process that leads the ranks, Ray Train's controller, died"
