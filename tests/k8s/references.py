"""References: what an object names by a string is there, or k8s/README.md says how the user makes it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from cluster.object_names import SPEC
from tests.k8s.builds import K8S, NAMESPACE, Build, Object, label, walk
from tests.k8s.network import selects
from tests.k8s.pods import HEAD, Pod, pods, ray_specs

_MADE_BY_THE_CLUSTER = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
_MAKES = re.compile(r"kubectl (?:[-\w=]+ )*?create (secret) (?:generic|tls|docker-registry) (?:[-\w=]+ )*?([\w.-]+)")
_STORE = "raymill-store"
_KINDS = {"configMapRef": "ConfigMap", "secretRef": "Secret", "configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
_BEFORE_AN_ENDPOINT = "-serve-svc"  # which KubeRay makes

Named = tuple[str, str]


def dangling(build: Build) -> list[str]:
    """ConfigMaps, Secrets, claims and accounts that a pod names and that nobody makes."""
    there = {(each["kind"], each["metadata"]["name"]) for each in build.there}
    there |= _MADE_BY_THE_CLUSTER | made_by_the_user() | _made_by_operators(build)
    problems = []
    for pod in pods(build.objects):
        for kind, name in _named(pod):
            if (kind, name) not in there:
                problems.append(f"{pod.where}: there is no {kind} {name}, and k8s/README.md doesn't make one")
    return problems


def storeless(build: Build) -> list[str]:
    """Pods that read or write the store and don't get its place and its keys."""
    problems = []
    for pod in pods(build.objects):
        mains = [container for container in pod.main if container["name"] != "autoscaler"]
        if pod.is_of_ray or pod.owner["kind"] == "CronJob" or pod.owner["metadata"]["name"] == "mlflow":
            for word, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                names = {(e.get(word) or {}).get("name") for c in mains for e in c.get("envFrom") or ()}
                problems += [] if _STORE in names else [f"{pod.where}: it gets no {kind} {_STORE}"]
    return problems


def missing_keys(build: Build) -> list[str]:
    """Keys of a ConfigMap that a pod asks for and that it hasn't."""
    have = {
        (e["kind"], e["metadata"]["name"]): {**(e.get("data") or {}), **(e.get("stringData") or {})}
        for e in build.there
    }
    problems = []
    for pod in pods(build.objects):
        for _, value in walk(pod.spec):
            for word in ("configMapKeyRef", "secretKeyRef"):
                asked = value.get(word) if isinstance(value, dict) else None
                content = have.get((_KINDS[word], asked["name"])) if asked else None
                if asked and content is not None and asked["key"] not in content and not asked.get("optional"):
                    problems.append(f"{pod.where}: {_KINDS[word]} {asked['name']} has no key {asked['key']}")
    return problems


def _made_by_operators(build: Build) -> set[Named]:
    """Secrets that the External Secrets Operator and cert-manager make."""
    vaulted = {("Secret", each["spec"]["target"]["name"]) for each in build.there if each["kind"] == "ExternalSecret"}
    return vaulted | {("Secret", each["spec"]["secretName"]) for each in build.there if each["kind"] == "Certificate"}


@functools.cache
def made_by_the_user() -> frozenset[Named]:
    """What the README has the user make by a command."""
    text = (K8S / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    return frozenset((kind.capitalize(), name) for kind, name in _MAKES.findall(re.sub(r" +", " ", text)))


def unmounted(build: Build) -> list[str]:
    """Mounts of volumes that aren't there, and volumes that nobody mounts."""
    problems = []
    for pod in pods(build.objects):
        volumes = {volume["name"] for volume in pod.spec.get("volumes") or ()}
        claims = {each["metadata"]["name"] for each in pod.owner["spec"].get("volumeClaimTemplates") or ()}
        mounted = {mount["name"] for each in pod.containers for mount in each.get("volumeMounts") or ()}
        problems += [f"{pod.where}: it mounts {name}, which is no volume of it" for name in mounted - volumes - claims]
        problems += [f"{pod.where}: nobody mounts the volume {name}" for name in (volumes | claims) - mounted]
    return problems


def lonely_selectors(build: Build) -> list[str]:
    """Services, budgets, monitors and workloads that select no pod, or all, or not their own."""
    found = pods(build.there)
    problems = []
    for each in build.there:
        own = pods([each]) if each["kind"] in ("Deployment", "StatefulSet") else found
        for selector in _selectors(each):
            if not (selector.get("matchLabels") or selector.get("matchExpressions")):
                problems.append(f"{label(each)}: it selects every pod")
            elif not any(selects(selector, pod.labels) for pod in own) and not _comes_later(selector, build):
                problems.append(f"{label(each)}: {selector} selects no pod")
        if each["kind"] == "Service" and not (each["spec"].get("selector") and each["spec"].get("ports")):
            problems.append(f"{label(each)}: it has no selector or no ports")
    return problems


def _comes_later(selector: dict[str, Any], build: Build) -> bool:
    """Whether it is for the pods of all jobs, of which there is none before somebody types a command."""
    of_all_specs = any(rule["key"] == SPEC for rule in selector.get("matchExpressions") or ())
    return of_all_specs and not any(pod.role == HEAD and pod.owner["kind"] == "RayJob" for pod in pods(build.there))


def closed_ports(build: Build) -> list[str]:
    """Ports that a Service, a probe or a monitor names and that no container of its pods has."""
    problems = []
    for each in build.of_kind("Service", "PodMonitor"):
        picked = [pod for pod in pods(build.there) if any(selects(s, pod.labels) for s in _selectors(each))]
        open_ = {key for pod in picked for key in _ports(pod)}
        problems += [
            f"{label(each)}: no pod of it has the port {port}" for port in _asked(each) if picked and port not in open_
        ]
    for pod in pods(build.objects):
        for container in pod.containers:
            for word in ("livenessProbe", "readinessProbe", "startupProbe"):
                port = (
                    (container.get(word) or {}).get("httpGet") or (container.get(word) or {}).get("tcpSocket") or {}
                ).get("port")
                if isinstance(port, str) and port not in {p.get("name") for p in container.get("ports") or ()}:
                    problems.append(f"{pod.named(container)}: its {word} asks the port {port}, which it hasn't")
    return problems


def unbound(build: Build) -> list[str]:
    """Bindings of roles, accounts, queues and classes that aren't there."""
    there = {(each["kind"], each["metadata"]["name"]) for each in build.there}
    problems = []
    for each in build.of_kind("RoleBinding", "ClusterRoleBinding"):
        asked = [(each["roleRef"]["kind"], each["roleRef"]["name"])]
        asked += [(s["kind"], s["name"]) for s in each.get("subjects") or () if s["kind"] == "ServiceAccount"]
        problems += [f"{label(each)}: there is no {kind} {name}" for kind, name in asked if (kind, name) not in there]
        away = [s["name"] for s in each.get("subjects") or () if s.get("namespace") != NAMESPACE]
        problems += [f"{label(each)}: the account {name} isn't one of {NAMESPACE}" for name in away]
    for each in build.of_kind("ValidatingAdmissionPolicyBinding"):
        if ("ValidatingAdmissionPolicy", each["spec"]["policyName"]) not in there:
            problems.append(f"{label(each)}: there is no policy {each['spec']['policyName']}")
    for each in build.of_kind("LocalQueue"):
        if ("ClusterQueue", each["spec"]["clusterQueue"]) not in there:
            problems.append(f"{label(each)}: there is no ClusterQueue {each['spec']['clusterQueue']}")
    for each in build.of_kind("ClusterQueue"):
        flavors = [f["name"] for group in each["spec"].get("resourceGroups") or () for f in group["flavors"]]
        problems += [f"{label(each)}: there is no flavor {f}" for f in flavors if ("ResourceFlavor", f) not in there]
    for each in build.of_kind("HTTPRoute", "GRPCRoute"):
        parents = [parent["name"] for parent in each["spec"]["parentRefs"] if ("Gateway", parent["name"]) not in there]
        problems += [f"{label(each)}: there is no Gateway {name}" for name in parents]
        backends = {backend["name"] for rule in each["spec"]["rules"] for backend in rule.get("backendRefs") or ()}
        unknown = [n for n in backends if ("Service", n) not in there and not n.endswith(_BEFORE_AN_ENDPOINT)]
        problems += [f"{label(each)}: there is no Service {name}" for name in unknown]
    for each in build.of_kind("RayJob", "RayCluster", "RayService"):
        problems += _unqueued(each, there)
    return problems


def _unqueued(each: Object, there: set[Named]) -> list[str]:
    labels = each["metadata"].get("labels") or {}
    asked = {"LocalQueue": "kueue.x-k8s.io/queue-name", "WorkloadPriorityClass": "kueue.x-k8s.io/priority-class"}
    queued = any(kind == "LocalQueue" for kind, _ in there)
    missing = [(kind, labels[key]) for kind, key in asked.items() if key in labels and (kind, labels[key]) not in there]
    return [f"{label(each)}: there is no {kind} {name}" for kind, name in missing if queued]


def _named(pod: Pod) -> Iterator[Named]:
    yield "ServiceAccount", str(pod.spec.get("serviceAccountName") or "default")
    for volume in pod.spec.get("volumes") or ():
        yield from _of_volume(volume)
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _of_volume(source)
    for container in pod.containers:
        places = [*(container.get("envFrom") or ()), *((e.get("valueFrom") or {}) for e in container.get("env") or ())]
        for place in places:
            yield from ((_KINDS[w], ref["name"]) for w, ref in place.items() if w in _KINDS and not ref.get("optional"))
    for _, spec in ray_specs([pod.owner]):
        password = ((spec.get("gcsFaultToleranceOptions") or {}).get("redisPassword") or {}).get("valueFrom") or {}
        yield from ((_KINDS[w], ref["name"]) for w, ref in password.items() if w in _KINDS and not ref.get("optional"))


def _of_volume(volume: dict[str, Any]) -> Iterator[Named]:
    for word, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        source = volume.get(word)
        if source is not None and not source.get("optional"):
            yield kind, str(source.get(key))
    if claim := volume.get("persistentVolumeClaim"):
        yield "PersistentVolumeClaim", claim["claimName"]


def _selectors(each: Object) -> Iterator[dict[str, Any]]:
    spec = each.get("spec") or {}
    match each["kind"]:
        case "Service" if spec.get("selector"):
            yield {"matchLabels": spec["selector"]}
        case "PodDisruptionBudget" | "Deployment" | "StatefulSet" | "PodMonitor":
            yield spec["selector"]


def _ports(pod: Pod) -> Iterator[str | int]:
    for each in pod.main:
        for port in each.get("ports") or ():
            yield from (port["containerPort"], port.get("name", ""))
    if pod.is_of_ray:
        yield from ("metrics", 8080)  # which KubeRay adds where they are missing


def _asked(each: Object) -> Iterator[str | int]:
    if each["kind"] == "Service":
        yield from (port.get("targetPort", port["port"]) for port in each["spec"].get("ports") or ())
    else:
        yield from (e.get("port") or e.get("targetPort") for e in each["spec"].get("podMetricsEndpoints") or ())
