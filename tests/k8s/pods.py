"""Pods: every pod template of every object, as KubeRay and Kubernetes make pods of them.

What KubeRay adds by itself is added here: its labels, and the autoscaler's container beside the head's. The source is
its `controllers/ray/common/pod.go` at v1.7.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.k8s.builds import Object, label

HEAD, WORKER, SUBMITTER, ONCE, STANDING = "head", "worker", "submitter", "once", "standing"
RAY_SPECS = {"RayCluster": ("spec",), "RayJob": ("spec", "rayClusterSpec"), "RayService": ("spec", "rayClusterConfig")}
_AUTOSCALER_GETS = {"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "500m", "memory": "512Mi"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod that comes of an object: `role` is what it is for, `spec` and `labels` are the pod's."""

    where: str
    role: str
    labels: dict[str, str]
    spec: dict[str, Any]
    owner: Object

    @property
    def is_of_ray(self) -> bool:
        return self.role in (HEAD, WORKER)

    @property
    def stays(self) -> bool:
        return self.role in (HEAD, WORKER, STANDING)

    @property
    def main(self) -> list[dict[str, Any]]:
        return list(self.spec.get("containers") or ())

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All that run in it, also before its start."""
        return [*(self.spec.get("initContainers") or ()), *self.main, *(self.spec.get("ephemeralContainers") or ())]

    def named(self, container: dict[str, Any]) -> str:
        return f"{self.where}, container {container.get('name')}"


def pods(objects: Iterable[Object]) -> list[Pod]:
    return [pod for each in objects for pod in _pods(each)]


def ray_spec(each: Object) -> dict[str, Any] | None:
    """The RayClusterSpec in an object, or None."""
    found: Any = each
    for key in RAY_SPECS.get(each["kind"], ("nothing",)):
        found = (found or {}).get(key)
    return found


def ray_specs(objects: Iterable[Object]) -> list[tuple[Object, dict[str, Any]]]:
    return [(each, spec) for each in objects if (spec := ray_spec(each)) is not None]


def _pods(each: Object) -> Iterator[Pod]:
    spec = each.get("spec") or {}
    if each["kind"] == "Pod":
        yield Pod(where=label(each), role=ONCE, labels=_labels(each), spec=spec, owner=each)
    elif each["kind"] in ("Deployment", "StatefulSet", "DaemonSet"):
        yield _pod(each, spec["template"], STANDING)
    elif each["kind"] == "Job":
        yield _pod(each, spec["template"], ONCE)
    elif each["kind"] == "CronJob":
        yield _pod(each, spec["jobTemplate"]["spec"]["template"], ONCE)
    elif each["kind"] in RAY_SPECS:
        if spec.get("submitterPodTemplate"):
            yield _pod(each, spec["submitterPodTemplate"], SUBMITTER, ", submitter")
        cluster = ray_spec(each)
        if cluster is not None:
            yield from _ray_pods(each, cluster)


def _pod(each: Object, template: dict[str, Any], role: str, part: str = "", **labels: str) -> Pod:
    known = {**labels, **_labels(template)}
    return Pod(where=f"{label(each)}{part}", role=role, labels=known, spec=template.get("spec") or {}, owner=each)


def _labels(template: dict[str, Any]) -> dict[str, str]:
    return dict((template.get("metadata") or {}).get("labels") or {})


def _ray_pods(each: Object, cluster: dict[str, Any]) -> Iterator[Pod]:
    head = dict(cluster["headGroupSpec"]["template"])
    if cluster.get("enableInTreeAutoscaling"):
        head["spec"] = {**head["spec"], "containers": [*head["spec"]["containers"], _autoscaler(cluster)]}
    yield _pod(each, head, HEAD, ", head", **_kuberay(each, "head", "headgroup"))
    for group in cluster.get("workerGroupSpecs") or ():
        name = group["groupName"]
        yield _pod(each, group["template"], WORKER, f", workers {name}", **_kuberay(each, "worker", name))


def _kuberay(each: Object, node: str, group: str) -> dict[str, str]:
    """The labels that KubeRay gives a pod where its template has none of them."""
    found = {
        "ray.io/is-ray-node": "yes",
        "ray.io/cluster": each["metadata"].get("name", ""),
        "ray.io/node-type": node,
        "ray.io/group": group,
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    return {**found, "ray.io/serve": "true"} if each["kind"] == "RayService" else found


def _autoscaler(cluster: dict[str, Any]) -> dict[str, Any]:
    options = cluster.get("autoscalerOptions") or {}
    kept = {key: options[key] for key in ("env", "envFrom", "securityContext", "volumeMounts") if key in options}
    image = options.get("image") or cluster["headGroupSpec"]["template"]["spec"]["containers"][0].get("image")
    return {"name": "autoscaler", "image": image, "resources": options.get("resources") or _AUTOSCALER_GETS, **kept}
