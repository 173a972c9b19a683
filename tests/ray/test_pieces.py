"""A pass over pieces of work: its answers, and workers that die."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.pieces import each
from raymill.errors import WorkerLost

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


def test_a_piece_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(WorkerLost, match="each time that it was started"):
        list(each(Mortal.__call__, [Mortal(0, str(tmp_path / "0"), deaths=1_000)]))
    assert (tmp_path / "0").read_text() == "++++"
