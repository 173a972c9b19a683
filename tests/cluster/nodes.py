"""A Ray cluster of several nodes on this machine, as a process of its own: real raylets, which tests may kill.

    python tests/cluster/nodes.py NODES CPUS_PER_NODE DASHBOARD_PORT

The head has no CPUs, so that work is on the other nodes alone. It prints a JSON line with the nodes' ids, the head's
first, when it is up, and ends, with all its nodes, when its standard input does. Each line on standard input is
answered by the ids of the nodes that are left:

    kill ID        SIGKILL to all of a node, as a machine that loses its power
    add            one more node
    restart        SIGKILL to all; then a new head at the same address, which knows nothing, with new nodes
    notice ID S    tells the cluster that a node will be taken away in S seconds, as a cloud does
    fill, free     takes all of the local disk, and gives it back
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from ray._private.node import Node
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

from tests.ports import free_port

_MEMORY_BYTES = 200 << 20
_BLOCK = bytes(1 << 20)


class Nodes:
    """The head and the others; each has its own ports and folder: nodes of one machine would take each other's."""

    def __init__(self, count: int, cpus: int, dashboard_port: int) -> None:
        self._count, self._cpus, self._made = count, cpus, 0
        self._head = {"include_dashboard": True, "dashboard_port": dashboard_port, "gcs_server_port": free_port()}
        self.start()

    def start(self) -> None:
        self.cluster = Cluster(initialize_head=True, head_node_args=self._head | self._own(0))
        for _ in range(1, self._count):
            self.add()

    def add(self) -> None:
        self.cluster.add_node(**self._own(self._cpus))

    def kill(self, id: str) -> None:
        (node,) = (node for node in self.cluster.list_all_nodes() if node.node_id == id)
        work = [child for process in _processes(node) for child in process.children(recursive=True)]
        self.cluster.remove_node(node, allow_graceful=False)
        for process in work:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def restart(self) -> None:
        for id in self.ids():
            self.kill(id)
        self.start()

    def notice(self, id: str, seconds: float) -> None:
        reason = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
        until_ms = int((time.time() + seconds) * 1000)
        accepted, why_not = GcsClient(address=self.cluster.address).drain_node(id, reason, "a test", until_ms)
        assert accepted, why_not

    def ids(self) -> list[str]:
        return [node.node_id for node in self.cluster.list_all_nodes()]

    def _own(self, cpus: int) -> dict[str, Any]:
        self._made += 1
        return {
            "num_cpus": cpus,
            "object_store_memory": _MEMORY_BYTES,
            "dashboard_agent_listen_port": free_port(),
            "runtime_env_dir_name": f"runtime_resources_{self._made}",
        }


def _processes(node: Node) -> list[psutil.Process]:
    """The processes that make up a node; those that do its work are their children."""
    return [psutil.Process(process.pid) for _, process in node.live_processes()]


def _fill(file: Path) -> None:
    with contextlib.suppress(OSError), file.open("ab", buffering=0) as sink:  # until there is no space
        while sink.write(_BLOCK):
            pass


def main() -> None:
    nodes = Nodes(*(int(word) for word in sys.argv[1:]))
    filler = Path(tempfile.gettempdir(), "filler")
    _tell(nodes)
    for line in sys.stdin:
        match line.split():
            case ["kill", id]:
                nodes.kill(id)
            case ["add"]:
                nodes.add()
            case ["restart"]:
                nodes.restart()
            case ["notice", id, seconds]:
                nodes.notice(id, float(seconds))
            case ["fill"]:
                _fill(filler)
            case ["free"]:
                filler.unlink()
        _tell(nodes)
    nodes.cluster.shutdown()


def _tell(nodes: Nodes) -> None:
    sys.stdout.write(json.dumps(nodes.ids()) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
