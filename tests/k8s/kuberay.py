"""KubeRay: clusters that the API server takes, and the operator then refuses, or makes in a way that hurts.

The rules of refusal are those of its `controllers/ray/utils/validation.go` at v1.7.0, as far as our objects touch them;
the others are what running it showed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.k8s.builds import Build, label, words_of
from tests.k8s.pods import HEAD, Pod, pods, ray_specs
from tests.k8s.quantities import number

_GIB = 1024.0**3
_DEFAULT_STORE = 0.3  # of a node's memory, by `ray start`
_HEAD_NEEDS_BYTES = 4 * _GIB
_GATES = {
    "networkPolicy": "RayClusterNetworkPolicy",
    "historyServerOptions": "RayClusterHistoryServer",
    "tlsOptions": "RayClusterMTLS",
}
_QUEUE = "kueue.x-k8s.io/queue-name"
_FROM_KUBERAY = {
    "RAY_CLUSTER_NAME",
    "RAY_CLOUD_INSTANCE_ID",
    "RAY_NODE_TYPE_NAME",
    "KUBERAY_GEN_RAY_START_CMD",
    "RAY_IP",
}
_FROM_KUBERAY |= {"FQ_RAY_IP", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_enable_autoscaler_v2"}


def open_dashboards(build: Build) -> list[str]:
    """Trap 3: clusters that don't say how they authenticate."""
    problems = []
    for each, spec in ray_specs(build.objects):
        options = spec.get("authOptions") or {}
        if options.get("mode") != "token":
            problems.append(f"{label(each)}: authOptions.mode is {options.get('mode')}, not token")
        if options.get("enableK8sTokenAuth"):
            problems.append(f"{label(each)}: enableK8sTokenAuth is refused in a RayJob and a RayService")
    return problems


def alpha_features(build: Build) -> list[str]:
    """Fields that need an alpha feature gate of the operator which no component of the build tells its user to open."""
    asked = [(each, gate) for each, spec in ray_specs(build.objects) for word, gate in _GATES.items() if word in spec]
    for each, spec in ray_specs(build.objects):
        if (spec.get("gcsFaultToleranceOptions") or {}).get("backend") == "rocksdb":
            asked.append((each, "GCSFaultToleranceEmbeddedStorage"))
    asked += [(each, "RayCronJob") for each in build.of_kind("RayCronJob")]
    asked += [(job, "RayJobDeletionPolicy") for job in build.of_kind("RayJob") if "deletionStrategy" in job["spec"]]
    told = words_of(build.name)
    return [f"{label(each)} needs the feature gate {gate}" for each, gate in asked if f"{gate}=true" not in told]


def working_heads(build: Build) -> list[str]:
    """Trap 8: heads on which user work may land, and parameters that aren't strings."""
    problems = []
    for each, spec in ray_specs(build.objects):
        head = spec["headGroupSpec"].get("rayStartParams") or {}
        if head.get("num-cpus") != "0":
            problems.append(f"{label(each)}: its head's num-cpus is {head.get('num-cpus')!r}, not '0'")
        for where, params in _start_params(spec):
            wrong = [key for key, value in params.items() if not isinstance(value, str)]
            problems += [f"{label(each)}: {where}: {key} isn't a string" for key in wrong]
            problems += [f"{label(each)}: {where}: labels aren't given by rayStartParams"] if "labels" in params else []
    return problems


def bad_autoscaling(build: Build) -> list[str]:
    """Trap 8: autoscalers of the old version, and groups that fight with theirs."""
    problems = []
    for each, spec in ray_specs(build.objects):
        if spec.get("enableInTreeAutoscaling") is not True:
            problems.append(f"{label(each)}: enableInTreeAutoscaling isn't true")
        if (spec.get("autoscalerOptions") or {}).get("version") != "v2":
            problems.append(f"{label(each)}: autoscalerOptions.version isn't v2")
        if not (spec.get("autoscalerOptions") or {}).get("resources"):
            problems.append(f"{label(each)}: its autoscaler has what KubeRay thinks it needs")
        for group in spec.get("workerGroupSpecs") or ():
            queued = _QUEUE in (each["metadata"].get("labels") or {})
            problems += [f"{label(each)}, workers {group['groupName']}: {said}" for said in _bad_group(group, queued)]
        names = [group["groupName"] for group in spec.get("workerGroupSpecs") or ()]
        problems += [] if names else [f"{label(each)}: it has no workers"]
        problems += [f"{label(each)}: two groups are called {name}" for name in set(names) if names.count(name) > 1]
    return problems


def _bad_group(group: dict[str, Any], queued: bool) -> Iterator[str]:
    if "replicas" in group and not queued:
        yield "replicas are the autoscaler's to write"
    if queued and not 0 < group.get("minReplicas", 0) == group.get("replicas", 0):
        yield "Kueue admits the job without them, by `replicas`, and two such jobs wait for each other"
    if not group.get("maxReplicas"):
        yield "it has no maxReplicas, so that the autoscaler has no bound"
    if group.get("minReplicas", 0) > group.get("maxReplicas", 0):
        yield "minReplicas are more than maxReplicas"
    if group.get("idleTimeoutSeconds") is None:
        yield "it has no idleTimeoutSeconds"
    if group["template"]["spec"].get("restartPolicy", "Never") != "Never":
        yield "its restartPolicy is refused under the autoscaler v2"


def idle_groups_that_stay(build: Build) -> list[str]:
    """Standing clusters whose groups don't shrink to nothing."""
    problems = []
    for each in build.of_kind("RayCluster"):
        for group in each["spec"].get("workerGroupSpecs") or ():
            if group.get("minReplicas", 0) != 0:
                problems.append(f"{label(each)}, workers {group['groupName']}: minReplicas isn't 0")
    return problems


def small_nodes(build: Build) -> list[str]:
    """Trap 12: heads that are killed for memory, shared memory that isn't counted, nodes with the host's CPUs."""
    problems = []
    for pod in (pod for pod in pods(build.objects) if pod.is_of_ray):
        limits = (pod.main[0].get("resources") or {}).get("limits") or {}
        memory = number(limits.get("memory", 0))
        if pod.role == HEAD and memory < _HEAD_NEEDS_BYTES:
            problems.append(f"{pod.where}: it is limited to {limits.get('memory')} of memory, and needs 4Gi")
        if (shared := _shared_bytes(pod)) is None or shared > memory:
            problems.append(f"{pod.where}: /dev/shm isn't an emptyDir of memory with a sizeLimit inside the limit")
        elif float(_params_of(pod).get("object-store-memory", _DEFAULT_STORE * memory)) > shared:
            problems.append(f"{pod.where}: Ray's object store is larger than /dev/shm, and would go to the disk")
        if "cpu" not in limits and "num-cpus" not in _params_of(pod):
            problems.append(f"{pod.where}: neither a CPU limit nor num-cpus, so that Ray counts the host's CPUs")
    return problems


def spoilt_environment(build: Build) -> list[str]:
    """Variables that KubeRay itself sets, or refuses."""
    problems = []
    for pod in (pod for pod in pods(build.objects) if pod.is_of_ray):
        names = {each["name"] for container in pod.main for each in container.get("env") or ()}
        problems += [f"{pod.where}: {name} is KubeRay's to set" for name in sorted(names & _FROM_KUBERAY)]
        refused = sorted(name for name in names if name in ("REDIS_PASSWORD", "REDIS_USERNAME", "RAY_REDIS_ADDRESS"))
        problems += [f"{pod.where}: {name} belongs in gcsFaultToleranceOptions" for name in refused]
    return problems


def _start_params(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "head", spec["headGroupSpec"].get("rayStartParams") or {}
    for group in spec.get("workerGroupSpecs") or ():
        yield f"workers {group['groupName']}", group.get("rayStartParams") or {}


def _params_of(pod: Pod) -> dict[str, Any]:
    for each, spec in ray_specs([pod.owner]):
        wanted = "head" if pod.role == HEAD else f"workers {pod.where.rpartition('workers ')[2]}"
        return dict(_start_params(spec)).get(wanted, {}) if each else {}
    return {}


def _shared_bytes(pod: Pod) -> float | None:
    """The size of the memory at /dev/shm, None where it has no bound or isn't there."""
    mounts = {mount["mountPath"]: mount["name"] for mount in pod.main[0].get("volumeMounts") or ()}
    for volume in pod.spec.get("volumes") or ():
        directory = volume.get("emptyDir") or {}
        if (
            volume["name"] == mounts.get("/dev/shm")
            and directory.get("medium") == "Memory"
            and "sizeLimit" in directory
        ):
            return number(directory["sizeLimit"])
    return None
