"""A Ray cluster of several nodes on this machine, as a process of its own: real raylets, which tests may kill.

    python tests/cluster/nodes.py NODES CPUS_PER_NODE DASHBOARD_PORT

It prints a JSON line when it is up and ends, with all its nodes, when its standard input does. A line `kill N` on
standard input kills node N (0 is the head) with SIGKILL, as a machine that loses its power; `add` adds a node.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ray.cluster_utils import Cluster

from tests.ports import free_port

_MEMORY_BYTES = 200 << 20


def _node(index: int, cpus: int) -> dict[str, Any]:
    """A node's own port and folder: nodes of one machine would take each other's."""
    return {
        "num_cpus": cpus,
        "object_store_memory": _MEMORY_BYTES,
        "dashboard_agent_listen_port": free_port(),
        "runtime_env_dir_name": f"runtime_resources_{index}",
    }


def _tell(what: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    count, cpus, dashboard = (int(word) for word in sys.argv[1:])
    head = {"include_dashboard": True, "dashboard_port": dashboard}
    cluster = Cluster(initialize_head=True, head_node_args=head | _node(0, cpus))
    nodes = [cluster.head_node]
    for index in range(1, count):
        nodes.append(cluster.add_node(**_node(index, cpus)))
    _tell({"address": cluster.address})
    for line in sys.stdin:
        match line.split():
            case ["kill", index]:
                cluster.remove_node(nodes[int(index)], allow_graceful=False)
            case ["add"]:
                nodes.append(cluster.add_node(**_node(len(nodes), cpus)))
        _tell({"done": line.strip()})
    cluster.shutdown()


if __name__ == "__main__":
    main()
