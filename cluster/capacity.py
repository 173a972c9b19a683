"""Capacity: what a cluster's nodes have, what its autoscaler may add, and whether that ever holds what is asked for.

It decides from numbers that it is given; who asks the cluster for them is not its business. What others hold at the
moment doesn't count: it comes back.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from cluster.crew import places
from raymill.errors import ResourceError

Resources = Mapping[str, float]
# Where Ray's autoscaler tells its node types: once, in its log, when it starts (version 1 and version 2).
_CONFIG_V1 = re.compile(r"StandardAutoscaler: (\{'.*\})$", re.MULTILINE)
_CONFIG_V2 = re.compile(r"Using Autoscaling Config: *\n(.*?)^\d{4}-\d\d-\d\d ", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeType:
    """A kind of node that an autoscaler may add: what each has, and how many there may be at most."""

    name: str
    resources: Resources
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The resources of each node that is alive, and the types of nodes that may come: None where they are unknown."""

    nodes: Sequence[Resources]
    types: Sequence[NodeType] | None = ()

    def may_add(self, name: str) -> float | None:
        """How much of a resource an autoscaler may add; None where nobody knows."""
        if self.types is None:
            return None
        return sum(self._left(kind) * kind.resources.get(name, 0) for kind in self.types)

    def more(self, name: str) -> str:
        """What may come of a resource, as the end of a sentence; nothing where there is no autoscaler."""
        if self.types is None:
            return ", an autoscaler may add some"
        return f", the autoscaler may add up to {self.may_add(name):g}" if self.types else ""

    def holds(self, cpus: float, gpus: float, count: int = 1) -> bool:
        """Whether the nodes that are here hold `count` processes at a time, each with so much on one node."""
        return _room(self.nodes, cpus, gpus) >= count

    def require(self, cpus: float, gpus: float, count: int = 1, what: str = "process") -> None:
        """Raises ResourceError when this could never hold `count` processes, each with so much on one node.

        Nothing is refused where it isn't known what may come.
        """
        if self.types is None or self.holds(cpus, gpus, count):
            return
        here = _room(self.nodes, cpus, gpus)
        coming = sum(_room([kind.resources], cpus, gpus) * self._left(kind) for kind in self.types if self._left(kind))
        if here + coming >= count:
            return
        asked = _numbers({"CPU": cpus, "GPU": gpus})
        if here + coming:
            more = f", and for {coming} more with all that the autoscaler may add" if self.types else ""
            raise ResourceError(
                f"{count} {_plural(what)} ask for {asked} each, and there is room for {here} of them on "
                f"{counted(len(self.nodes), 'node')} with {_numbers(_together(self.nodes))} together{more}.",
                "Ask for fewer, or for less each, in the spec, or use a larger machine.",
            )
        raise ResourceError(
            f"One {what} asks for {asked}, and no node has them: {self._here(gpus)}{self._autoscaler(gpus)}.",
            "Ask for less in the spec, or use a larger machine.",
        )

    def _left(self, kind: NodeType) -> int:
        """How many nodes of a type may still come: those that are as large as it are taken for its own."""
        own = sum(all(node.get(n, 0) == kind.resources.get(n, 0) for n in ("CPU", "GPU")) for node in self.nodes)
        return max(0, kind.most - own)

    def _here(self, gpus: float) -> str:
        """The largest node, if one takes work at all."""
        largest = _largest(self.nodes, gpus)
        if not (largest.get("CPU") or largest.get("GPU")):
            return ""
        return f"the largest of {len(self.nodes)} has {_numbers(largest)}; "

    def _autoscaler(self, gpus: float) -> str:
        if not self.types:
            return "there is no autoscaler"
        return (
            f"the largest that the autoscaler may add has {_numbers(_largest([t.resources for t in self.types], gpus))}"
        )


def types_in(log: str) -> tuple[NodeType, ...] | None:
    """The types of nodes that may come, from the beginning of an autoscaler's log; None where it doesn't tell them.

    A head that has no autoscaler has this log too, and its node types are none.
    """
    told = _config_in(log)
    kinds = None if told is None else told.get("available_node_types")
    if told is None or not isinstance(kinds, dict):
        return None
    most = int(told.get("max_workers") or 0)
    found = (_type(str(name), kind, most) for name, kind in kinds.items())
    return tuple(kind for kind in found if kind.most > 0)


def _config_in(log: str) -> dict[str, Any] | None:
    try:
        if (first := _CONFIG_V1.search(log)) is not None:
            told = ast.literal_eval(first[1])
        elif (second := _CONFIG_V2.search(log)) is not None:
            told = yaml.safe_load(second[1])
        else:
            return None
    except (ValueError, SyntaxError, yaml.YAMLError):
        return None  # cut off, or of another Ray: then it is not known
    return told if isinstance(told, dict) else None


def _type(name: str, told: Mapping[str, Any], most: int) -> NodeType:
    resources = {key: float(value) for key, value in (told.get("resources") or {}).items()}
    own = told.get("max_workers")
    return NodeType(name=name, resources=resources, most=most if own is None else min(most, int(own)))


def _room(nodes: Sequence[Resources], cpus: float, gpus: float) -> float:
    """How many processes empty nodes hold: infinitely many where they ask for nothing."""
    return sum(places(node, {"CPU": cpus, "GPU": gpus}) for node in nodes)


def _largest(nodes: Sequence[Resources], gpus: float) -> Resources:
    """The node nearest to enough: with most GPUs where they are asked for, else with most CPUs."""
    first, second = ("GPU", "CPU") if gpus else ("CPU", "GPU")
    return max(nodes, key=lambda node: (node.get(first, 0), node.get(second, 0)), default={})


def _numbers(node: Resources) -> str:
    return f"{counted(node.get('CPU', 0), 'CPU')} and {counted(node.get('GPU', 0), 'GPU')}"


def _together(nodes: Sequence[Resources]) -> Resources:
    return {name: sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU")}


def counted(amount: float, noun: str) -> str:
    """So many of something, such as `1 GPU` or `0.5 CPUs`."""
    return f"{amount:g} {noun}" if amount == 1 else f"{amount:g} {_plural(noun)}"


def _plural(what: str) -> str:
    return f"{what}es" if what.endswith("s") else f"{what}s"
