"""Endpoints: RayServices whose model answers all the time, also while it is changed or a node goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import ValidationError

from cluster.endpoint_arguments import APPLICATION
from cluster.ray_settings import serve_settings
from serving.arguments import EndpointArgs
from tests.k8s.builds import Build, label
from tests.k8s.pods import WORKER, Pod, pods

_SIZED = ("RAY_SERVE_HAPROXY_NBTHREAD",)  # it goes by the CPUs of a pod
_UPGRADES = ("NewCluster", "NewClusterWithIncrementalUpgrade")


def bad_endpoints(build: Build) -> list[str]:
    """Trap 5: RayServices whose upgrade has a gap, whose port is nowhere, or that one node takes away."""
    problems = []
    for each in build.of_kind("RayService"):
        spec = each["spec"]
        if spec.get("excludeHeadPodFromServeSvc"):
            problems.append(f"{label(each)}: an upgrade without its head has seconds without an endpoint")
        if (spec.get("upgradeStrategy") or {}).get("type") not in _UPGRADES:
            problems.append(f"{label(each)}: its upgradeStrategy isn't written out")
        if "serveConfigV2" not in spec:
            problems.append(f"{label(each)}: it has no serveConfigV2")
        for pod in (pod for pod in pods([each]) if pod.is_of_ray):
            if "serve" not in {port.get("name") for port in pod.main[0].get("ports") or ()}:
                problems.append(f"{pod.where}: no port is called serve")
            if pod.role == WORKER and "ray.io/serve" in pod.labels and not _spread(pod):
                problems.append(f"{pod.where}: its replicas may all be on one node")
    return problems


def unservable(build: Build) -> list[str]:
    """RayServices whose configuration names no application of ours, or whose model one node could take away."""
    problems = []
    for each in build.of_kind("RayService"):
        config = yaml.safe_load(each["spec"].get("serveConfigV2") or "{}")
        if config.get("proxy_location") != "EveryNode" or config.get("http_options", {}).get("host") != "0.0.0.0":
            problems.append(f"{label(each)}: not every node answers")
        for application in config.get("applications") or ():
            problems += [f"{label(each)}: {said}" for said in _bad_application(application, build.is_local)]
        least = [
            group.get("minReplicas", 0) for group in each["spec"]["rayClusterConfig"].get("workerGroupSpecs") or ()
        ]
        if sum(least) < 2:
            problems.append(f"{label(each)}: it begins with {sum(least)} workers, not two")
    return problems


def forgetful(build: Build) -> list[str]:
    """RayServices without the Redis that is there for them, or that would share one another's part of it."""
    problems = []
    redis = any(label(each) == "StatefulSet redis" for each in build.there)
    for each in build.of_kind("RayService"):
        options = each["spec"]["rayClusterConfig"].get("gcsFaultToleranceOptions") or {}
        if redis and not options.get("redisAddress"):
            problems.append(f"{label(each)}: its head comes back and knows nothing")
        if "externalStorageNamespace" in options:
            problems.append(f"{label(each)}: its clusters share {options['externalStorageNamespace']}")
    return problems


def unsettled(build: Build) -> list[str]:
    """Ray's nodes that don't set what Serve needs on every one of them, or don't know where the store is."""
    problems = []
    for pod in (pod for pod in pods(build.objects) if pod.is_of_ray):
        has = {each["name"]: each.get("value") for each in pod.main[0].get("env") or ()}
        wrong = [
            n for n, value in serve_settings().items() if has.get(n) != value and (n not in _SIZED or n not in has)
        ]
        problems += [f"{pod.where}: {name} is {has.get(name)}" for name in wrong]
    return problems


def _bad_application(application: dict[str, Any], on_one_machine: bool) -> Iterator[str]:
    if application.get("import_path") != APPLICATION:
        yield f"its import_path is {application.get('import_path')}, not {APPLICATION}"
    try:
        arguments = EndpointArgs.model_validate(application.get("args"))
    except ValidationError as error:
        yield f"serving.app takes no such arguments: {error}"
        return
    if arguments.route != application.get("route_prefix"):
        yield f"its route is {arguments.route}, and its route_prefix {application.get('route_prefix')}"
    together = arguments.max_replicas_per_node or arguments.max_replicas
    if arguments.min_replicas < 2 or (together >= arguments.min_replicas and not on_one_machine):
        yield f"{together} of at least {arguments.min_replicas} replicas may be on one node"


def _spread(pod: Pod) -> bool:
    rules = pod.spec.get("topologySpreadConstraints") or ()
    apart = ((pod.spec.get("affinity") or {}).get("podAntiAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    hard = [rule for rule in rules if rule["whenUnsatisfiable"] == "DoNotSchedule" and "labelSelector" in rule]
    return bool(apart) or any(rule["topologyKey"] == "kubernetes.io/hostname" for rule in hard)
