"""The template: the standing RayCluster of an overlay, whose pods are those of every job and endpoint.

What a job or an endpoint needs otherwise is written over a copy of it; nothing of a pod is decided here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.capacity import Resources
from cluster.worker_groups import CPU_GROUP, WorkerGroup, resources_of
from raymill.errors import ResourceError

CLUSTER = "raymill"
# Of the standing cluster alone: KubeRay refuses the first in clusters that it makes.
_OF_THE_STANDING = ("upgradeStrategy", "suspend")
# What the autoscaler writes into a live cluster; in a manifest it would fight with it.
_OF_THE_AUTOSCALER = ("replicas", "scaleStrategy")


@dataclass(frozen=True, slots=True, kw_only=True)
class RayTemplate:
    """A RayCluster with a group `cpu` that is scaled from zero; `place` is where it was found, for messages."""

    cluster: Mapping[str, Any]
    place: str

    @classmethod
    def of(cls, cluster: Mapping[str, Any], place: str) -> RayTemplate:
        """Raises ResourceError for a cluster that no job can be made of."""
        template = cls(cluster=cluster, place=place)
        if not cluster["spec"].get("enableInTreeAutoscaling"):
            raise ResourceError(
                f"The RayCluster {CLUSTER} of {place} isn't scaled, and jobs begin without workers.",
                "Write enableInTreeAutoscaling: true in the overlay.",
            )
        if CPU_GROUP not in {group.name for group in template.groups}:
            raise ResourceError(
                f"The RayCluster {CLUSTER} of {place} has no worker group {CPU_GROUP}.",
                "Give one of its workerGroupSpecs that groupName, as in k8s/base.",
            )
        return template

    @property
    def namespace(self) -> str:
        return str(self.cluster["metadata"].get("namespace", CLUSTER))

    @property
    def head(self) -> Mapping[str, Any]:
        """The pod template of the head."""
        pod: Mapping[str, Any] = self.cluster["spec"]["headGroupSpec"]["template"]
        return pod

    @property
    def head_resources(self) -> Resources:
        return resources_of(self.cluster["spec"]["headGroupSpec"])

    @property
    def groups(self) -> tuple[WorkerGroup, ...]:
        return tuple(map(WorkerGroup.of, self.cluster["spec"].get("workerGroupSpecs") or ()))

    def spec(self, pods: Mapping[str, tuple[int, int]], pod_labels: Mapping[str, str]) -> dict[str, Any]:
        """A copy of its spec: of the groups in `pods`, from the least to the most pods, all with more labels."""
        kept = {key: value for key, value in self.cluster["spec"].items() if key not in _OF_THE_STANDING}
        spec: dict[str, Any] = copy.deepcopy(kept)
        groups = [group for group in spec["workerGroupSpecs"] if group["groupName"] in pods]
        for group in groups:
            group["minReplicas"], group["maxReplicas"] = pods[group["groupName"]]
            for key in _OF_THE_AUTOSCALER:
                group.pop(key, None)
        spec["workerGroupSpecs"] = groups
        for template in (spec["headGroupSpec"]["template"], *(group["template"] for group in groups)):
            metadata = template.setdefault("metadata", {})
            metadata["labels"] = (metadata.get("labels") or {}) | dict(pod_labels)
        return spec
