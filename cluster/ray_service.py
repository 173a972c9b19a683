"""The RayService of an endpoint: one model version, by URI and digest, on pods of the template, over two nodes.

Another version is another text for Ray Serve, which swaps it in place; other pods are another cluster, which takes over
when it answers.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from cluster.disruption_budget import disruption_budget
from cluster.endpoint_arguments import APPLICATION, ServedModel, endpoint_arguments
from cluster.exposure import require_guard_in_kubernetes
from cluster.grpc_service import GRPC_PORT, PORT_NAME, grpc_service
from cluster.listening import grpc_options
from cluster.manifest_text import as_text
from cluster.object_names import COMPONENT, SPEC, endpoint_name, grpc_service_name, labels, tokens_name
from cluster.preflight import Ask
from cluster.ray_settings import KEEP_ALIVE_S, serve_settings
from cluster.ray_template import RayTemplate
from cluster.worker_groups import CPU_GROUP, WorkerGroup, require_room
from raymill.safety_spec import TokensSpec
from raymill.spec import ReplicasSpec, Spec

PORT = 8000
_LEAST_REPLICAS, _LEAST_PODS = 2, 2
_HEALTH = "/-/healthz"
_TOKENS_FOLDER, _TOKENS_KEY = "/etc/raymill/tokens", "tokens"


def endpoint_objects(
    spec: Spec, model: ServedModel, template: RayTemplate, gateway_class: str = ""
) -> list[dict[str, Any]]:
    """The RayService, its budget, and where the spec asks for gRPC the Service that leads there.

    Where there can be one worker only a budget would keep its node for ever. Raises what `ray_service` raises.
    """
    endpoint = ray_service(spec, model, template, gateway_class)
    (group,) = (group for group in template.groups if group.name == CPU_GROUP)
    beside = [disruption_budget(spec.name, template.namespace)] if group.most > 1 else []
    beside += [grpc_service(spec.name, template.namespace)] if _speaks_grpc(spec) else []
    return [endpoint, *beside]


def ray_service(spec: Spec, model: ServedModel, template: RayTemplate, gateway_class: str = "") -> dict[str, Any]:
    """The object. Raises SpecError for an endpoint of which it isn't said who may ask it.

    Raises ResourceError where the pods that may come can't hold the replicas.
    """
    require_guard_in_kubernetes(spec.serve)
    name, own = endpoint_name(spec.name), labels("endpoint", spec.name)
    group = next(group for group in template.groups if group.name == CPU_GROUP)
    least, most, per_pod = replicas_on(group, spec.serve.replicas.min, spec.serve.replicas.max)
    replicas = Ask(what="replica", cpus=spec.serve.cpus, count=most)
    require_room([group], template.head_resources, [replicas], template.place)
    endpoint_id = hashlib.sha256(f"{template.namespace}/{name}".encode()).hexdigest()[:12]
    settled = {
        "min_replicas": least,
        "max_replicas": most,
        "max_replicas_per_node": per_pod,
        "tokens": {"file": f"{_TOKENS_FOLDER}/{_TOKENS_KEY}"} if _takes_tokens(spec) else None,
        "grpc_loopback_only": False,  # serve.host is that of an endpoint elsewhere
    }
    arguments = endpoint_arguments(spec, model, endpoint_id, settled)
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": name, "namespace": template.namespace, "labels": own},
        "spec": {
            "serveConfigV2": _serve_config(spec, arguments),
            "upgradeStrategy": _upgrade_strategy(gateway_class),
            "excludeHeadPodFromServeSvc": False,
            "rayClusterConfig": _cluster(spec, template, group),
        },
    }


def remarks(spec: Spec, template: RayTemplate) -> list[str]:
    """What a spec asks for and an endpoint has otherwise here."""
    group = next(group for group in template.groups if group.name == CPU_GROUP)
    asked = spec.serve.replicas
    least, most, per_pod = replicas_on(group, asked.min, asked.max)
    found = []
    if _takes_tokens(spec):
        found.append(f"serve.tokens: from the Secret {tokens_name(spec.name)} here, key {_TOKENS_KEY}")
    if spec.serve.port != PORT:
        found.append(f"serve.port: {spec.serve.port} is {PORT} here, where the endpoint has an address of its own")
    if spec.serve.grpc_port not in (None, GRPC_PORT):
        here = f"{GRPC_PORT} of the Service {grpc_service_name(spec.name)} here"
        found.append(f"serve.grpc_port: {spec.serve.grpc_port} is {here}")
    default = ReplicasSpec()
    if (asked.min, asked.max) not in ((default.min, default.max), (least, most)):
        found.append(
            f"serve.replicas: {least} to {most} here, so that they are on two nodes, with {per_pod} a pod at most"
        )
    return found


def replicas_on(group: WorkerGroup, least: int, most: int) -> tuple[int, int, int]:
    """The least and most replicas, and how many one pod may have, so that no pod ever has all of them.

    Half of the least fit on one pod; more where else the group had no room left at the most, since a version is changed
    by replicas that start before others stop. Then the least is one more than a pod may have, as far as the most goes.
    Where none need be there, none need be.
    """
    if least == 0:
        return 0, most, max(1, math.ceil((most + 1) / group.most))
    least = max(least, _LEAST_REPLICAS)
    most = max(least, most)
    per_pod = max(math.ceil(least / 2), math.ceil((most + 1) / group.most))
    return max(least, min(per_pod + 1, most)), most, per_pod


def _serve_config(spec: Spec, arguments: dict[str, Any]) -> str:
    config = {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": PORT, "keep_alive_timeout_s": KEEP_ALIVE_S},
        **({"grpc_options": grpc_options(GRPC_PORT)} if _speaks_grpc(spec) else {}),
        "applications": [
            {
                "name": arguments["name"],
                "route_prefix": arguments["route"],
                "import_path": APPLICATION,
                "args": arguments,
            }
        ],
    }
    return as_text(config)


def _upgrade_strategy(gateway_class: str) -> dict[str, Any]:
    """How another cluster takes over: at once, or by tenths through a Gateway that KubeRay makes, and back likewise."""
    if not gateway_class:
        return {"type": "NewCluster"}
    options = {"gatewayClassName": gateway_class, "stepSizePercent": 10, "intervalSeconds": 10, "maxSurgePercent": 100}
    return {"type": "NewClusterWithIncrementalUpgrade", "clusterUpgradeOptions": options}


def _cluster(spec: Spec, template: RayTemplate, group: WorkerGroup) -> dict[str, Any]:
    own = labels("endpoint", spec.name)
    pods = {CPU_GROUP: (min(_LEAST_PODS, group.most), group.most)}
    cluster = template.spec(pods, {SPEC: spec.name, COMPONENT: own[COMPONENT]})
    (cluster.get("gcsFaultToleranceOptions") or {}).pop("externalStorageNamespace", None)  # that is one cluster's
    head, workers = cluster["headGroupSpec"]["template"], cluster["workerGroupSpecs"][0]["template"]
    ports = {"serve": PORT} | ({PORT_NAME: GRPC_PORT} if _speaks_grpc(spec) else {})
    for pod in (head, workers):
        _serves(pod["spec"]["containers"][0], ports)
    workers["spec"]["containers"][0]["readinessProbe"] = _ready()
    workers["spec"].setdefault("topologySpreadConstraints", []).append(_over_nodes(spec))
    if _takes_tokens(spec):
        _mount_tokens(workers["spec"], tokens_name(spec.name))
    return cluster


def _speaks_grpc(spec: Spec) -> bool:
    return spec.serve.grpc_port is not None


def _takes_tokens(spec: Spec) -> bool:
    return isinstance(spec.serve.tokens, TokensSpec)


def _mount_tokens(pod: dict[str, Any], secret: str) -> None:
    """Gives replicas a Secret as a file that follows it; without one they refuse to start, and say why."""
    items = [{"key": _TOKENS_KEY, "path": _TOKENS_KEY}]
    source = {"secretName": secret, "items": items, "optional": True}
    pod["volumes"] = [*(pod.get("volumes") or ()), {"name": "endpoint-tokens", "secret": source}]
    container = pod["containers"][0]
    mount = {"name": "endpoint-tokens", "mountPath": _TOKENS_FOLDER, "readOnly": True}
    container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]


def _serves(container: dict[str, Any], ports: dict[str, int]) -> None:
    """Gives a Ray container ports, and Ray Serve's settings but those that the overlay has settled otherwise."""
    env = container.setdefault("env", [])
    settled = {variable["name"] for variable in env}
    env += [{"name": name, "value": value} for name, value in serve_settings().items() if name not in settled]
    others = [port for port in container.get("ports") or [] if port.get("name") not in ports]
    container["ports"] = [*others, *({"name": name, "containerPort": port} for name, port in ports.items())]


def _ready() -> dict[str, Any]:
    """A worker takes requests while its proxy knows a replica, wherever that is; KubeRay asks the head itself."""
    return {
        "httpGet": {"path": _HEALTH, "port": PORT},
        "periodSeconds": 5,
        "timeoutSeconds": 2,
        "failureThreshold": 3,
    }


def _over_nodes(spec: Spec) -> dict[str, Any]:
    """Pods of the endpoint go to different machines as long as there are some; on a single one both may be there."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "nodeTaintsPolicy": "Honor",  # a node that takes none of them, as the control plane's, is no place without one
        "labelSelector": {"matchLabels": {SPEC: spec.name, COMPONENT: "endpoint", "ray.io/node-type": "worker"}},
        "matchLabelKeys": ["ray.io/cluster"],  # each cluster of an upgrade by itself
    }
