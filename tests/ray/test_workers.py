"""Training workers are a torch process group; what they raise comes back as values to decide upon."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch.distributed as dist

from cluster.retry import GiveUp, decide
from cluster.workers import WorkerFailure, run_on_workers
from raymill.errors import DataError
from raymill.store import Store

pytestmark = pytest.mark.usefixtures("ray_session")


def act(part: str) -> tuple[int, int] | None:
    """What each rank does in these tests."""
    if part == "refuse" and dist.get_rank() == 1:
        raise DataError("The loss became nan in epoch 1.", "Lower train.optimizer.lr.")
    dist.barrier()
    return dist.get_rank(), dist.get_world_size()


def run(part: str, scratch: Path) -> object:
    return run_on_workers(act, part, workers=2, cpus=0.5, gpus=0, scratch=Store(str(scratch)))


def test_workers_meet_and_rank_zero_answers_and_leaves_nothing(tmp_path: Path) -> None:
    assert run("meet", tmp_path) == (0, 2)
    assert list(tmp_path.iterdir()) == []


def test_the_users_error_on_one_rank_comes_back_and_is_not_retried(tmp_path: Path) -> None:
    failure = run("refuse", tmp_path)
    assert isinstance(failure, WorkerFailure)
    decision = decide(failure.errors, 1)
    assert isinstance(decision, GiveUp) and isinstance(decision.error, DataError)
    assert decision.error.what == "The loss became nan in epoch 1."
