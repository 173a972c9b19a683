"""What of an attempt in this process is decided upon, and what is raised at once."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest

from cluster.attempts import _alone
from cluster.workers import WorkerFailure
from raymill.console import Console
from raymill.errors import DataError, StoreError
from raymill.training import Assignment
from tests.recipes import spec_of


def alone(monkeypatch: pytest.MonkeyPatch, error: Exception) -> object:
    def train_rank(*given: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("cluster.attempts.train_rank", train_rank)
    assignment = Assignment(run="r", spec=spec_of(), dataset_uri="x", run_id=None)
    return _alone(assignment, threading.Event(), Console(io.StringIO()))


@pytest.mark.parametrize(
    "error",
    [
        StoreError("It is away.", "Wait."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_what_the_machine_did_is_decided_upon(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    assert alone(monkeypatch, error) == WorkerFailure(errors=(error,))


@pytest.mark.parametrize("error", [DataError("No.", "Mend it."), RuntimeError("shapes don't fit")])
def test_anything_else_is_raised(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)):
        alone(monkeypatch, error)
