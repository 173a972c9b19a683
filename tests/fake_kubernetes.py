"""A Kubernetes that is all in memory: objects as they are applied, statuses and logs as a test scripts them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raymill.errors import MachineError, ResourceError
from tests.ray_clusters import cluster, settings_map

CREATED = "2026-11-26T12:00:00Z"


@dataclass
class FakeKubernetes:
    """What `KubernetesApi` is to its callers. Of `looks`, one is taken each time that an object of a kind is got."""

    namespace: str = "raymill"
    patience_s: float = 1.0
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    applied: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[tuple[str, str]] = field(default_factory=list)
    executed: list[Sequence[str]] = field(default_factory=list)
    logs: dict[str, list[list[str]]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    away: bool = False
    looks: dict[str, list[Callable[[dict[str, Any]], None]]] = field(default_factory=dict)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        self._answer(kind)
        found = self.objects.get((kind, name))
        steps = self.looks.get(kind)
        if found is not None and steps:
            steps.pop(0)(found)
        return copy.deepcopy(self.objects.get((kind, name)))

    def list(self, kind: str, *, labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        self._answer(kind)
        wanted = dict(part.split("=") for part in labels.split(",") if part)
        named = dict(part.split("=") for part in fields.split(",") if part).get("involvedObject.name")
        return [
            copy.deepcopy(found)
            for (of_kind, _), found in self.objects.items()
            if of_kind == kind
            and wanted.items() <= (found["metadata"].get("labels") or {}).items()
            and named in (None, (found.get("involvedObject") or {}).get("name"))
        ]

    def apply(self, object: Mapping[str, Any]) -> dict[str, Any]:
        self._answer(f"apply {object['kind']}")
        self.applied.append(copy.deepcopy(dict(object)))
        key = (object["kind"], object["metadata"]["name"])
        before = self.objects.get(key, {"metadata": {"generation": 0}})
        made = copy.deepcopy(dict(object))
        made["metadata"] |= {"uid": f"uid-of-{key[1]}", "creationTimestamp": CREATED}
        made["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        self.objects[key] = made | ({"status": before["status"]} if "status" in before else {})
        return copy.deepcopy(made)

    def delete(self, kind: str, name: str) -> None:
        self._answer(kind)
        self.deleted.append((kind, name))
        self.objects.pop((kind, name), None)

    def log(self, pod: str, container: str, *, follow: bool) -> Iterator[str]:
        self._answer("log")
        parts = self.logs[pod]
        yield from parts.pop(0) if len(parts) > 1 else parts[0]

    def execute(self, pod: str, container: str, command: Sequence[str], within_s: float) -> str:
        self._answer("exec")
        self.executed.append((pod, container, *command))
        return ""

    def add(self, kind: str, name: str, **rest: Any) -> None:
        metadata = {"name": name, "creationTimestamp": CREATED} | rest.pop("metadata", {})
        self.objects[(kind, name)] = {"metadata": metadata} | rest

    def _answer(self, what: str) -> None:
        if self.away:
            raise MachineError("Kubernetes at https://k doesn't answer: refused.", "Check the way there.")
        if what in self.refused:
            raise ResourceError(f"Kubernetes refuses: {what} is forbidden.", "Ask for the permission.")


def with_the_base(**rest: Any) -> FakeKubernetes:
    """One in which the standing cluster and the settings are applied."""
    fake = FakeKubernetes(**rest)
    for made in (cluster(), settings_map()):
        fake.objects[(made["kind"], made["metadata"]["name"])] = made
    return fake


def status(**fields: Any) -> Callable[[dict[str, Any]], None]:
    """A step after which an object has this status."""

    def step(found: dict[str, Any]) -> None:
        found["status"] = fields

    return step
