"""The Service by which gRPC reaches an endpoint in Kubernetes: KubeRay's own carries the port `serve` alone.

Source: `BuildServeService` of KubeRay's `controllers/ray/common/service.go`, which keeps no other port of a Service
that a RayService brings along.
"""

from __future__ import annotations

from typing import Any

from cluster.object_names import COMPONENT, SPEC, grpc_service_name, labels

GRPC_PORT = 9000
PORT_NAME = "grpc"
_TAKES_REQUESTS = {"ray.io/serve": "true"}  # KubeRay's label of pods that do


def grpc_service(spec_name: str, namespace: str) -> dict[str, Any]:
    """The object. While one cluster takes over from another, both of them answer."""
    own = labels("endpoint", spec_name)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": grpc_service_name(spec_name), "namespace": namespace, "labels": own},
        "spec": {
            "selector": {SPEC: spec_name, COMPONENT: own[COMPONENT], **_TAKES_REQUESTS},
            "ports": [{"name": PORT_NAME, "port": GRPC_PORT, "targetPort": PORT_NAME}],
        },
    }
