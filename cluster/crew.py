"""A crew: how many training workers there may be, what each needs, and how many of them a cluster has room for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cluster.state import Bundle, Node

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """`least` to `most` workers, each with its resources by Ray's names of them."""

    least: int
    most: int
    each: Bundle

    @classmethod
    def of(cls, least: int, most: int, cpus: float, gpus: float) -> Crew:
        return cls(least=least, most=most, each={"CPU": cpus} | ({"GPU": gpus} if gpus else {}))

    @property
    def is_elastic(self) -> bool:
        return self.least < self.most

    def room(self, nodes: Iterable[Node]) -> int:
        """How many workers have room on nodes as they are now, at most `most`."""
        return int(min(self.most, sum(places(node.free, self.each) for node in nodes)))

    def after_giving_way(self, workers: int, waiting: Iterable[Bundle]) -> int:
        """How many of so many workers may stay when the others' resources go to what waits; not under `least`.

        What asks for something that a worker doesn't hold gets nothing by it, and isn't counted.
        """
        wanted = [bundle for bundle in waiting if bundle and bundle.keys() <= self.each.keys()]
        given = max((self._cover(wanted, name) for name in self.each), default=0)
        return max(self.least, workers - given)

    def _cover(self, wanted: list[Bundle], name: str) -> int:
        """How many workers hold as much of a resource as is wanted."""
        total = sum(bundle.get(name, 0.0) for bundle in wanted)
        return math.ceil(total / self.each[name] - _ROUNDING) if self.each[name] > 0 else 0


def places(free: Mapping[str, float], each: Bundle) -> float:
    """How many processes have room in what is free on one node; infinitely many where they ask for nothing."""
    asked = ((free.get(name, 0.0), amount) for name, amount in each.items() if amount > 0)
    return min((math.floor(has / amount + _ROUNDING) for has, amount in asked), default=math.inf)
