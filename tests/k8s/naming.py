"""Naming: names, namespaces and labels."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.k8s.builds import GATEWAYS, NAMESPACE, Build, Object, label, walk
from tests.k8s.pods import pods

_PART_OF = "app.kubernetes.io/part-of"
_COMPONENT = "app.kubernetes.io/component"
_WANTED = (_PART_OF, "app.kubernetes.io/name", _COMPONENT)
LONGEST = {"RayCluster": 53, "RayJob": 47, "RayService": 47, "RayCronJob": 36, "CronJob": 52, "StatefulSet": 52}
_CLUSTER_WIDE = {
    "Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass", "StorageClass", "GatewayClass", "ClusterIssuer",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ClusterQueue", "ResourceFlavor", "Cohort",
    "WorkloadPriorityClass", "Topology", "AdmissionCheck",
}  # fmt: skip
_OF_GATEWAYS = {"Gateway", "Certificate"}
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_1123 = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_OF_KUBERAY = {"app.kubernetes.io/name": "kuberay", "app.kubernetes.io/created-by": "kuberay-operator"}


def long_names(build: Build) -> list[str]:
    """Trap 11: names that KubeRay or Kubernetes would refuse for their length or letters."""
    problems = []
    for each in build.objects:
        name, kind = each["metadata"].get("name", ""), each["kind"]
        form = _DNS_1035 if kind.startswith("Ray") or kind == "Service" else _DNS_1123
        if len(name) > LONGEST.get(kind, 63):
            problems.append(f"{label(each)}: its name has {len(name)} characters, {LONGEST.get(kind, 63)} are allowed")
        if not form.fullmatch(name) and kind not in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
            problems.append(f"{label(each)}: its name isn't one of DNS")
    return problems


def misplaced(build: Build) -> list[str]:
    """Objects in another namespace than ours for their kind, in none, or there twice."""
    problems = []
    for each in build.objects:
        has = each["metadata"].get("namespace")
        wanted = GATEWAYS if each["kind"] in _OF_GATEWAYS else None if each["kind"] in _CLUSTER_WIDE else NAMESPACE
        if has != wanted:
            problems.append(f"{label(each)}: its namespace is {has}, not {wanted}")
    keys = [(each["apiVersion"].rpartition("/")[0], label(each)) for each in build.objects]
    return problems + [f"{key[1]} is there twice" for key in dict.fromkeys(keys) if keys.count(key) > 1]


def common_names(build: Build) -> list[str]:
    """Objects of the whole cluster with a name that another team's may have."""
    names = [(each, each["metadata"]["name"]) for each in build.objects if each["kind"] in _CLUSTER_WIDE]
    return [f"{label(each)}: others may have it" for each, name in names if name.partition("-")[0] != NAMESPACE]


def unlabelled(build: Build) -> list[str]:
    """Objects and pods that nobody finds by the common labels, and labels that are none."""
    problems = []
    for each in build.objects:
        missing = _missing(each["metadata"].get("labels") or {})
        problems += [f"{label(each)}: it has no label {key}" for key in missing]
        problems += [f"{label(each)}: the label {said} is none" for said in _bad_values(each)]
    for pod in pods(build.objects):
        missing = [key for key in (_PART_OF, _COMPONENT) if not pod.labels.get(key)]
        problems += [f"{pod.where}: its pods have no label {key}" for key in missing]
    return problems


def relabelled(build: Build) -> list[str]:
    """Ray's pods whose template overwrites a label by which KubeRay's own Services find them.

    A RayService's head service selects by `app.kubernetes.io/name: kuberay`, whatever the template says.
    """
    problems = []
    for pod in (pod for pod in pods(build.objects) if pod.is_of_ray):
        for key, value in _OF_KUBERAY.items():
            if pod.labels[key] != value:
                problems.append(
                    f"{pod.where}: its template makes {key} {pod.labels[key]}, so KubeRay's Services miss it"
                )
    return problems


def _missing(labels: dict[str, str]) -> list[str]:
    return [key for key in _WANTED if not labels.get(key) or (key == _PART_OF and labels[key] != "raymill")]


def _bad_values(each: Object) -> Iterator[str]:
    for path, value in walk(each):
        if path.rpartition(".")[2] in ("labels", "matchLabels") and isinstance(value, dict):
            yield from (f"{path}: {text!r}" for text in value.values() if not _VALUE.fullmatch(str(text)))
