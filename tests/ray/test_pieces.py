"""A pass over pieces of work: its answers, and workers that die."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray.data
from ray.data import ExecutionResources

from cluster.pieces import each, limited
from raymill.errors import WorkerLost
from raymill.train_spec import CPUS_ASKED

pytestmark = pytest.mark.usefixtures("ray_session")


@dataclass(frozen=True)
class Mortal:
    """A piece of work that notes each attempt, and ends its worker in the first `deaths` of them."""

    number: int
    attempts: str
    deaths: int

    def __call__(self) -> int:
        attempts = Path(self.attempts)
        attempts.write_text(attempts.read_text() + "+" if attempts.exists() else "+")
        if len(attempts.read_text()) <= self.deaths:
            os._exit(1)
        return self.number


def test_a_piece_whose_worker_dies_is_done_by_another_and_answers_stay_in_order(tmp_path: Path) -> None:
    pieces = [Mortal(number, str(tmp_path / f"{number}"), deaths=1 if number == 0 else 0) for number in range(4)]
    assert list(each(Mortal.__call__, pieces)) == [0, 1, 2, 3]
    assert (tmp_path / "0").read_text() == "++"


@dataclass(frozen=True)
class Laggard:
    """A piece of work with an answer of a megabyte; the first waits, and then answers how many others were begun."""

    number: int
    folder: str

    def __call__(self) -> bytes | int:
        Path(self.folder, str(self.number)).touch()
        if self.number:
            return os.urandom(1_000_000)
        time.sleep(8)
        return len(list(Path(self.folder).iterdir())) - 1


def test_pieces_wait_to_be_begun_while_early_answers_fill_the_object_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ray.data.DataContext.get_current()
    limits = ExecutionResources.for_limits(object_store_memory=20_000_000)
    monkeypatch.setattr(context.execution_options, "resource_limits", limits)
    # What Ray takes an answer for before it has seen one.
    monkeypatch.setattr(context, "target_max_block_size", 1_000_000)
    begun, *others = each(Laggard.__call__, [Laggard(number, str(tmp_path)) for number in range(60)])
    assert len(others) == 59
    assert isinstance(begun, int) and begun < 40


@dataclass(frozen=True)
class Meeting:
    """A piece of work that is seen by others while it runs, waits for one of them, and answers how many it saw."""

    number: int
    folder: str
    waits_s: float

    def __call__(self) -> int:
        mine = Path(self.folder, str(self.number))
        mine.touch()
        deadline_s = time.monotonic() + self.waits_s
        while (seen := len(list(mine.parent.iterdir()))) < 2 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        mine.unlink(missing_ok=True)
        return seen


def test_no_more_pieces_run_at_once_than_the_limit_has_room_for(tmp_path: Path) -> None:
    pieces = [Meeting(number, str(tmp_path), waits_s=0.2) for number in range(6)]
    with limited(CPUS_ASKED):
        assert set(each(Meeting.__call__, pieces)) == {1}
    with limited(2.5 * CPUS_ASKED):
        assert max(each(Meeting.__call__, pieces)) <= 2


def _length(piece: int, ballast: bytes) -> int:
    return piece + len(ballast)


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_function_of_any_size_reaches_the_pieces(size: int) -> None:
    work = functools.partial(_length, ballast=bytes(size))
    assert list(each(work, [1, 2, 3])) == [size + 1, size + 2, size + 3]


def test_a_piece_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(WorkerLost, match="each time that it was started"):
        list(each(Mortal.__call__, [Mortal(0, str(tmp_path / "0"), deaths=1_000)]))
    assert (tmp_path / "0").read_text() == "++++"
