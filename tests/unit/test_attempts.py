"""What an attempt comes to: what is decided upon, what is raised at once, and who is told to stop."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.attempts import Reached, _alone, _onward, _passed_on, _reached, _told
from cluster.oversight import Move
from cluster.workers import Stopped, WorkerFailure
from raymill.console import Console
from raymill.errors import DataError, StoreError, StoreRefused
from raymill.loop import Fit
from raymill.run import Run
from raymill.stop import Stop
from raymill.store import FileInfo, Store
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


INTERRUPTED = Fit(status="interrupted", epochs=1, steps=7, best_epoch=1, best_loss=0.5, notes=("at step 7",))


def told(outcome: Fit | Stopped, *, was_asked: bool) -> object:
    asked, said = threading.Event(), io.StringIO()
    if was_asked:
        asked.set()
    found = _told(outcome, asked, Console(said))
    assert said.getvalue() == "train     at step 7\n"
    return found


def test_an_interruption_is_the_users_only_where_that_has_asked() -> None:
    moved = Stopped(cause=Move(reason="a node goes"), value=INTERRUPTED)
    assert told(INTERRUPTED, was_asked=True) == told(moved, was_asked=True) == INTERRUPTED
    assert told(moved, was_asked=False) == moved
    assert told(INTERRUPTED, was_asked=False) == Stopped(cause=None, value=INTERRUPTED)


def test_a_training_that_has_finished_although_it_was_to_move_is_finished() -> None:
    finished = replace(INTERRUPTED, status="finished")
    assert told(Stopped(cause=Move(reason="a node goes"), value=finished), was_asked=False) == finished


def test_ranks_hear_a_stop_also_of_a_store_that_was_away_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    class Away(Store):
        """Away for the first write."""

        def write_bytes(self, path: str, data: bytes) -> None:
            failures, self.failures = self.failures, 0
            if failures:
                raise StoreError("It is away.", "Wait.")
            super().write_bytes(path, data)

        def at_once(self) -> Store:
            self.failures = 1
            return self

    asked, store, said = threading.Event(), Store(str(tmp_path)), io.StringIO()
    with _passed_on(asked, Stop(Away(store.uri), "stop"), Console(said)):
        assert not Stop(store, "stop").is_asked()
        asked.set()
        until_s = time.monotonic() + 20
        while not Stop(store, "stop").is_asked():
            assert time.monotonic() < until_s
            time.sleep(0.01)
    assert store.files(recursive=True) == []
    assert said.getvalue().count("WARNING: It is away. The workers don't hear it") == 1


def test_nobody_starts_over_where_the_store_cannot_be_asked_for_checkpoints() -> None:
    class Refusing(Store):
        def files(self, path: str = "", recursive: bool = False) -> list[FileInfo]:
            raise EXPIRED

    refused = _reached(Run(name="r", store=Refusing("s3://b/c")), known=0)
    assert refused == Reached(step=0, problem=EXPIRED)
    assert _onward(refused).startswith("going on from the newest checkpoint, if there is one")
    assert _onward(Reached(step=0)) == "starting over"
    assert _onward(Reached(step=5, problem=EXPIRED)) == "going on from the newest checkpoint"


EXPIRED = StoreRefused("Could not list s3://b/c: ExpiredToken.", "Give it credentials.")
