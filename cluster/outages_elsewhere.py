"""Outages that only a job's workers see: said on its console once, however many workers print them."""

from __future__ import annotations

from collections.abc import Callable

from raymill.outage import SAID


class OutagesElsewhere:
    """Hears the lines of all workers and says the first that tells of a place that it is away, or back again."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._away: set[str] = set()

    def hear(self, line: str) -> None:
        """Takes a line as `10.0.0.5 pid 123 RayTrainWorker: text`."""
        found = SAID.search(line)
        if found is None:
            return
        known = found["place"] in self._away
        if known == (found["state"] == "back"):
            (self._away.discard if known else self._away.add)(found["place"])
            self._say(f"{line.partition(' ')[0]}: {found[0]}")
