"""Containers: what each of them needs beside the restricted profile to be run by strangers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.k8s.builds import Build, label
from tests.k8s.pods import HEAD, STANDING, Pod, pods
from tests.k8s.quantities import number
from tests.k8s.versions import home_of_image

_TAGGED = re.compile(r"(?:[\w.-]+(?::\d+)?/)?[\w./-]+:(?P<tag>[\w][\w.-]*)(?:@sha256:[0-9a-f]{64})?")
_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_MOVING = {"latest", "main", "master", "nightly", "edge", "stable", "dev"}
OWN_IMAGE = re.compile(r"(.*/)?raymill:.+")
_EMPTY = {"name", "emptyDir"}
_WAYS = {"exec", "httpGet", "tcpSocket", "grpc"}
_PATIENT_S, _SLOW_S = 120, 5
_KUBERNETES_GRACE_S = 30


def writable_roots(build: Build) -> list[str]:
    """Containers whose root file system can be written, or that have nowhere to write what they write."""
    problems = []
    for pod, container in _each(build):
        if (container.get("securityContext") or {}).get("readOnlyRootFilesystem") is not True:
            problems.append(f"{pod.named(container)}: its root file system isn't read-only")
        missing = _written(container) - _mounts(container)
        problems += [f"{pod.named(container)}: nothing is mounted at {place}, which it writes to" for place in missing]
    return problems


def _written(container: dict[str, Any]) -> set[str]:
    """Folders that a container has to be able to write to."""
    if not OWN_IMAGE.match(str(container.get("image"))):
        return {"/tmp"}
    homes = {str(each.get("value")) for each in container.get("env") or () if each["name"] == "HOME"}
    return {"/tmp", *(homes or {home_of_image()})}


def moving_images(build: Build) -> list[str]:
    """Images without a tag or digest, or with a tag that moves."""
    problems = []
    for pod, container in _each(build):
        image = str(container.get("image") or "")
        tag = found["tag"] if (found := _TAGGED.fullmatch(image)) else None
        if (tag is None and not _DIGEST.fullmatch(image)) or tag in _MOVING:
            problems.append(f"{pod.named(container)}: its image {image!r} is not pinned")
    return problems


def undigested_images(build: Build) -> list[str]:
    """Images of others that are named by tag alone, where a production overlay names them by digest."""
    found = {str(container.get("image")) for _, container in _each(build)}
    return [
        f"{image} has no digest" for image in sorted(found) if not OWN_IMAGE.match(image) and "@sha256:" not in image
    ]


def unbounded(build: Build) -> list[str]:
    """Containers without requests and limits, or whose memory may be overcommitted."""
    return [problem for pod, container in _each(build) for problem in _unbounded(pod.named(container), container)]


def _unbounded(where: str, container: dict[str, Any]) -> Iterator[str]:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for kind, have, wanted in (("requests", requests, ("cpu", "memory")), ("limits", limits, ("memory",))):
        yield from (f"{where}: it {kind} no {name}" for name in wanted if name not in have)
    try:
        numbers = [{name: number(quantity) for name, quantity in have.items()} for have in (requests, limits)]
    except ValueError as error:
        yield f"{where}: {error}"
        return
    if numbers[0].get("memory") != numbers[1].get("memory"):
        yield f"{where}: it requests {requests.get('memory')} of memory and is limited to {limits.get('memory')}"
    for name in numbers[0].keys() & numbers[1].keys():
        if numbers[0][name] > numbers[1][name]:
            yield f"{where}: it requests more {name} than its limit"


def unprobed(build: Build) -> list[str]:
    """Main containers that run for long and that nobody asks whether they live and are ready."""
    problems = []
    for pod in pods(build.objects):
        if not pod.stays:
            continue
        for container in pod.main:
            wanted = () if container["name"] == "autoscaler" else ("readinessProbe", "livenessProbe")
            missing = [word for word in wanted if not container.get(word)]
            problems += [f"{pod.named(container)}: it has no {word}" for word in missing]
    return problems


def bad_probes(build: Build) -> list[str]:
    """Probes that ask nothing, or too much: those that kill a loaded head are what KubeRay's users complain of."""
    problems = []
    for pod, container in _each(build):
        for word in ("livenessProbe", "readinessProbe", "startupProbe"):
            probe = container.get(word)
            if probe is not None and len(_WAYS & set(probe)) != 1:
                problems.append(f"{pod.named(container)}: its {word} asks in no way, or in two")
            elif "exec" in (probe or {}) and not (probe["exec"] or {}).get("command"):
                problems.append(f"{pod.named(container)}: its {word} runs nothing")
        alive = container.get("livenessProbe") or {}
        patience_s = alive.get("periodSeconds", 10) * alive.get("failureThreshold", 3)
        if pod.is_of_ray and alive and (patience_s < _PATIENT_S or alive.get("timeoutSeconds", 1) < _SLOW_S):
            problems.append(f"{pod.named(container)}: it counts as dead after {patience_s} s, or one slow answer")
    return problems


def unbounded_scratch(build: Build) -> list[str]:
    """Scratch volumes that may fill a node, or for whose fill a pod is evicted before they are full."""
    problems = []
    for pod in pods(build.objects):
        # A volume of no type is an emptyDir.
        scratch = {v["name"]: v.get("emptyDir") or {} for v in pod.spec.get("volumes") or () if set(v) <= _EMPTY}
        boundless = [name for name, directory in scratch.items() if "sizeLimit" not in directory]
        problems += [f"{pod.where}: the emptyDir {name} has no sizeLimit" for name in boundless]
        for place in ("/tmp/ray", "/dev/shm") if pod.is_of_ray else ():
            if place not in _mounts(pod.main[0]):
                problems.append(f"{pod.where}: KubeRay itself mounts {place}, without a sizeLimit")
        on_disk = sum(number(d.get("sizeLimit", 0)) for d in scratch.values() if d.get("medium") != "Memory")
        limits = [((container.get("resources") or {}).get("limits") or {}) for container in pod.main]
        allowed = sum(number(limit.get("ephemeral-storage", 0)) for limit in limits)
        if on_disk > allowed:
            problems.append(f"{pod.where}: its scratch may have {on_disk:g} bytes, and it is evicted at {allowed:g}")
    return problems


def service_links(build: Build) -> list[str]:
    """Pods that get variables of every Service in the namespace: one of a Service `mlflow` is MLflow's own setting."""
    found = pods(build.objects)
    return [f"{pod.where}: enableServiceLinks isn't false" for pod in found if pod.spec.get("enableServiceLinks", True)]


def said_twice(build: Build) -> list[str]:
    """Variables, ports and mounts that a container names twice, and variables without a value."""
    problems = []
    for pod, container in _each(build):
        for word, keys in (
            ("env", ("name",)),
            ("ports", ("containerPort", "protocol")),
            ("volumeMounts", ("mountPath",)),
        ):
            had = [tuple(each.get(key) for key in keys) for each in container.get(word) or ()]
            problems += [f"{pod.named(container)}: {word}: {key[0]} twice" for key in set(had) if had.count(key) > 1]
        empty = [each["name"] for each in container.get("env") or () if not ({"value", "valueFrom"} & set(each))]
        problems += [f"{pod.named(container)}: {name} has no value" for name in empty]
    return problems


def unsized_claims(build: Build) -> list[str]:
    """Claims that say nothing of their size, or of who may mount them."""
    problems = []
    for each in build.of_kind("StatefulSet"):
        for claim in each["spec"].get("volumeClaimTemplates") or ():
            spec = claim.get("spec") or {}
            sized = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
            if not sized or not spec.get("accessModes"):
                problems.append(f"{label(each)}: its claim {claim['metadata']['name']} has no size or no access mode")
    return problems


def unspread(build: Build) -> list[str]:
    """Pods that stand in more than one replica and may all lie on one node."""
    problems = []
    for pod in pods(build.objects):
        if pod.role == STANDING and (pod.owner["spec"].get("replicas", 1) or 0) > 1 and not _spreads(pod):
            problems.append(f"{pod.where}: its replicas may all be on one node")
    return problems


def undrained(build: Build) -> list[str]:
    """Ray's nodes that are killed at once when their pod is deleted: KubeRay sets no grace period and no hook."""
    problems = []
    for pod in (pod for pod in pods(build.objects) if pod.is_of_ray):
        grace_s = pod.spec.get("terminationGracePeriodSeconds") or _KUBERNETES_GRACE_S
        hook = (((pod.main[0].get("lifecycle") or {}).get("preStop") or {}).get("exec") or {}).get("command") or ["0"]
        role = "head" if pod.role == HEAD else "worker"
        if hook[:-1] != ["python", "-m", "cluster.leaving", role] or not 0 < float(hook[-1]) < grace_s:
            problems.append(f"{pod.where}: its hook {hook} isn't one that ends within the {grace_s} s of its grace")
    return problems


def _each(build: Build) -> Iterator[tuple[Pod, dict[str, Any]]]:
    for pod in pods(build.objects):
        yield from ((pod, container) for container in pod.containers)


def _mounts(container: dict[str, Any]) -> set[str]:
    return {mount["mountPath"].rstrip("/") for mount in container.get("volumeMounts") or ()}


def _spreads(pod: Pod) -> bool:
    affinity = (pod.spec.get("affinity") or {}).get("podAntiAffinity") or {}
    spread = pod.spec.get("topologySpreadConstraints") or ()
    return bool(affinity) or any(each["topologyKey"] == "kubernetes.io/hostname" for each in spread)
