"""Wishes: room for more workers that a training would take, asked of the cluster so that an autoscaler hears of it.

Each is a placement group of its own, by whose name other jobs know that nothing waits for it.
"""

from __future__ import annotations

import uuid
from typing import Any

from cluster.state import WISH, Bundle


class Wishes:
    """So many equal bundles, each granted or not; the room of a granted one is held until it is withdrawn."""

    def __init__(self, owner: str, each: Bundle) -> None:
        self._owner, self._each = owner, dict(each)
        self._groups: list[Any] = []

    def ask_for(self, count: int) -> None:
        """Wishes for so many in all: asks for more, or withdraws all where none is welcome."""
        from ray.util import placement_group

        if count == 0:
            self.withdraw()
        while len(self._groups) < count:
            name = f"{WISH}-{self._owner}-{uuid.uuid4().hex[:8]}"
            self._groups.append(placement_group([self._each], name=name))

    def granted(self) -> int:
        """How many have room."""
        from ray.util import placement_group_table

        states = placement_group_table() if self._groups else {}
        return sum(states.get(group.id.hex(), {}).get("state") == "CREATED" for group in self._groups)

    def withdraw(self) -> None:
        from ray.util import remove_placement_group

        while self._groups:
            remove_placement_group(self._groups.pop())


def is_granted(group: Any) -> bool:
    """Whether a placement group has its room."""
    from ray.util import placement_group_table

    return bool(placement_group_table(group).get("state") == "CREATED")
