"""The state of the connected cluster: its nodes, what is free on them, and what processes still wait for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_TIMEOUT_S = 10
WISH = "raymill-wish"
"""How the names of placement groups begin that only ask for what would be welcome."""

Bundle = Mapping[str, float]
"""Resources by Ray's names of them, as CPU and GPU, that one process wants on one node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that is alive; a leaving one takes nothing new and goes soon."""

    id: str
    total: Bundle
    free: Bundle
    leaving: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """What Ray's head knows of all nodes and of all that waits for room, wishes left out."""

    nodes: tuple[Node, ...]
    waiting: tuple[Bundle, ...]

    @classmethod
    def now(cls) -> ClusterState:
        """Asks the head: one call, and another where a placement group waits."""
        import ray
        from ray.core.generated.autoscaler_pb2 import GetClusterResourceStateReply, NodeStatus

        reply = GetClusterResourceStateReply()
        reply.ParseFromString(ray._private.worker.global_worker.gcs_client.get_cluster_resource_state(_TIMEOUT_S))
        state = reply.cluster_resource_state
        nodes = tuple(
            Node(
                id=node.node_id.hex(),
                total=dict(node.total_resources),
                free=dict(node.available_resources),
                leaving=node.status == NodeStatus.DRAINING,
            )
            for node in state.node_states
            if node.status != NodeStatus.DEAD
        )
        waiting = [dict(r.request.resources_bundle) for r in state.pending_resource_requests for _ in range(r.count)]
        wishes = _wishes() if state.pending_gang_resource_requests else set()
        for gang in state.pending_gang_resource_requests:
            if gang.details.partition(":")[0] not in wishes:
                waiting += [dict(request.resources_bundle) for request in gang.requests]
        return cls(nodes=nodes, waiting=tuple(waiting))

    @property
    def staying(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if not node.leaving)


def is_embedded() -> bool:
    """Whether the connected Ray was started by this process, for itself."""
    import ray

    return ray._private.worker._global_node is not None


def _wishes() -> set[str]:
    """The ids of all jobs' wishes."""
    from ray.util import placement_group_table

    return {id for id, group in placement_group_table().items() if str(group["name"]).startswith(WISH)}
