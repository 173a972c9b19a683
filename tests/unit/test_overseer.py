"""What the overseer of an attempt says."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from cluster.beats import Beat
from cluster.crew import Crew
from cluster.overseer import Overseer
from cluster.oversight import STUCK_S, Sight

CREW = Crew.of(2, 2, cpus=1, gpus=0)
BEATS = tuple(Beat(rank=rank, node="b" * 56, pid=100, count=5, moves=7, waits=rank == 0) for rank in (0, 1))
SIGHT = Sight(crew=CREW, workers=2, age_s=1000, beats=BEATS)


@pytest.mark.parametrize(
    ("still_s", "said"),
    [
        ([1, 95, 96, 1, 2, 95, 1], ["did not move", "move again", "did not move", "move again"]),
        ([95, STUCK_S + 1], ["did not move"]),  # it is killed, which is said elsewhere
        ([95, None], ["did not move"]),  # it has ended, and beats no more
    ],
)
def test_a_standstill_is_said_once_and_its_end_once(
    still_s: list[float | None], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr("cluster.overseer._LOG", SimpleNamespace(warning=heard.append))
    overseer = Overseer("a", CREW, 2, lambda: None, STUCK_S)
    for seconds in still_s:
        overseer._tell(
            replace(SIGHT, beats=BEATS[:1], still_s=0) if seconds is None else replace(SIGHT, still_s=seconds)
        )
    assert all(part in message for part, message in zip(said, heard, strict=True))
