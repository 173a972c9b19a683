"""Work that finds no room says for what it waits, and that it goes on."""

from __future__ import annotations

import logging

import pytest
import ray
from ray.util import placement_group, remove_placement_group

from cluster.pieces import each
from cluster.waiting import LOGGER

pytestmark = pytest.mark.usefixtures("ray_session")


class Letting(logging.Handler):
    """Keeps what is said, and gives the room back when it hears that somebody waits for it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []
        self.held = placement_group([{"CPU": ray.available_resources()["CPU"]}])
        ray.get(self.held.ready())

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        if self.said[-1].startswith("waiting for "):
            remove_placement_group(self.held)


def test_a_pass_without_room_says_so_until_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.waiting._FIRST_LINE_S", 0.5)
    monkeypatch.setattr("cluster.waiting._LOOK_EVERY_S", 0.1)
    letting = Letting()
    logging.getLogger(LOGGER).addHandler(letting)
    try:
        assert list(each(str, [1, 2, 3])) == ["1", "2", "3"]
    finally:
        logging.getLogger(LOGGER).removeHandler(letting)
    first, last = letting.said
    assert first.startswith("waiting for 0.5 CPU: 0 free of ")
    assert last.startswith("goes on after ")
