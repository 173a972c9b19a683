"""KubeRay: what the API server takes, and the operator then refuses, ignores, or does in a way that hurts.

The rules of refusal are those of its `controllers/ray/utils/validation.go` at v1.7.0, as far as our objects touch them;
the others are what running it showed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import ValidationError

from cluster.endpoint_arguments import APPLICATION
from cluster.session import serve_settings
from serving.arguments import EndpointArgs
from tests.k8s.builds import Build, Object, label, words_of
from tests.k8s.pods import HEAD, WORKER, Pod, pods, ray_specs
from tests.k8s.quantities import number
from tests.k8s.quota import asked, count
from tests.k8s.settings import NAME as SETTINGS

_GIB = 1024.0**3
_SIZED = ("RAY_SERVE_HAPROXY_NBTHREAD",)  # it goes by the CPUs of a pod
_DEFAULT_STORE = 0.3  # of a node's memory, by `ray start`
_HEAD_NEEDS_BYTES = 4 * _GIB
_SUBMISSION = "K8sJobMode"
_GATES = {
    "networkPolicy": "RayClusterNetworkPolicy",
    "historyServerOptions": "RayClusterHistoryServer",
    "tlsOptions": "RayClusterMTLS",
}
_UPGRADES = ("NewCluster", "NewClusterWithIncrementalUpgrade")
_FROM_KUBERAY = {
    "RAY_CLUSTER_NAME",
    "RAY_CLOUD_INSTANCE_ID",
    "RAY_NODE_TYPE_NAME",
    "KUBERAY_GEN_RAY_START_CMD",
    "RAY_IP",
}
_FROM_KUBERAY |= {"FQ_RAY_IP", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_enable_autoscaler_v2"}


def bad_submissions(build: Build) -> list[str]:
    """Traps 1, 2 and 6: RayJobs whose submitter is refused, or whose mode is none."""
    problems = []
    for job, spec in _jobs(build):
        if spec.get("submissionMode") != _SUBMISSION:
            problems.append(f"{label(job)}: its submissionMode is {spec.get('submissionMode')}, not {_SUBMISSION}")
        containers = ((spec.get("submitterPodTemplate") or {}).get("spec") or {}).get("containers") or ()
        if not containers:
            problems.append(f"{label(job)}: it has no submitterPodTemplate, so *restricted* refuses its submitter")
        if ((spec.get("submitterPodTemplate") or {}).get("spec") or {}).get("restartPolicy") not in (
            "Never",
            "OnFailure",
        ):
            problems.append(f"{label(job)}: its submitter has no restartPolicy for a job")
    return problems


def endless_jobs(build: Build) -> list[str]:
    """Trap 6 and deadlines: RayJobs that outlive their end, that try again by themselves, or that nothing stops."""
    problems = []
    for job, spec in _jobs(build):
        if "clusterSelector" not in spec and spec.get("shutdownAfterJobFinishes") is not True:
            problems.append(f"{label(job)}: shutdownAfterJobFinishes isn't true, so that its cluster stays")
        if spec.get("ttlSecondsAfterFinished") and not spec.get("shutdownAfterJobFinishes"):
            problems.append(f"{label(job)}: ttlSecondsAfterFinished without shutdownAfterJobFinishes is refused")
        if spec.get("backoffLimit") != 0:
            problems.append(f"{label(job)}: its backoffLimit is {spec.get('backoffLimit')}: raymill itself tries again")
        wanted = ["activeDeadlineSeconds", "preRunningDeadlineSeconds", "jobId", "entrypoint"]
        wanted += [] if "clusterSelector" in spec else ["ttlSecondsAfterFinished"]
        problems += [f"{label(job)}: it has no {word}" for word in wanted if not spec.get(word)]
    return problems


def unclear_clusters(build: Build) -> list[str]:
    """RayJobs with no cluster or two, and clusters that carry what is for others."""
    problems = []
    for job, spec in _jobs(build):
        if bool(spec.get("rayClusterSpec")) == bool(spec.get("clusterSelector")):
            problems.append(f"{label(job)}: it has to have either rayClusterSpec or clusterSelector")
        if spec.get("clusterSelector") and "ray.io/cluster" not in spec["clusterSelector"]:
            problems.append(f"{label(job)}: its clusterSelector names no ray.io/cluster")
        if spec.get("suspend"):
            problems.append(f"{label(job)}: it is suspended, which is for Kueue to do")
    for each, spec in ray_specs(build.objects):
        stands = each["kind"] == "RayCluster"
        if not stands and "upgradeStrategy" in spec:
            problems.append(f"{label(each)}: upgradeStrategy is refused in a cluster that a RayJob or RayService makes")
        if stands and not (spec.get("upgradeStrategy") or {}).get("type"):
            problems.append(f"{label(each)}: without an upgradeStrategy a changed spec does nothing")
    return problems


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
    asked += [(job, "RayJobDeletionPolicy") for job, spec in _jobs(build) if "deletionStrategy" in spec]
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
            problems += [f"{label(each)}, workers {group['groupName']}: {said}" for said in _bad_group(group)]
        names = [group["groupName"] for group in spec.get("workerGroupSpecs") or ()]
        problems += [] if names else [f"{label(each)}: it has no workers"]
        problems += [f"{label(each)}: two groups are called {name}" for name in set(names) if names.count(name) > 1]
    return problems


def _bad_group(group: dict[str, Any]) -> Iterator[str]:
    if "replicas" in group:
        yield "replicas are the autoscaler's to write"
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


def unfit_for_queues(build: Build) -> list[str]:
    """RayJobs that Kueue refuses, or would never admit, because a queue doesn't count what their pods ask for."""
    problems = []
    for job, spec in _jobs(build):
        metadata = job["metadata"]
        queue = (metadata.get("labels") or {}).get("kueue.x-k8s.io/queue-name")
        if queue is None:
            if "clusterSelector" not in spec and _queue_of(build):
                problems.append(f"{label(job)}: it goes past the queue {_queue_of(build)}")
            continue
        if "clusterSelector" in spec:
            problems.append(f"{label(job)}: a job on a standing cluster can't be queued")
        if (metadata.get("annotations") or {}).get("kueue.x-k8s.io/elastic-job") != "true":
            problems.append(f"{label(job)}: it is scaled, and not annotated kueue.x-k8s.io/elastic-job: 'true'")
        given = _given(build, queue)
        for resource, amount in _wanted(job).items():
            if amount > given.get(resource, -1.0):
                problems.append(
                    f"{label(job)}: it wants {amount:g} of {resource}, the queue {queue} has {given.get(resource)}"
                )
    return problems


def _queue_of(build: Build) -> str:
    """The queue that the settings send jobs to, or nothing."""
    maps = {each["metadata"]["name"]: each.get("data") or {} for each in build.there if each["kind"] == "ConfigMap"}
    return str(maps.get(SETTINGS, {}).get("queue", ""))


def _wanted(job: Object) -> dict[str, float]:
    """What a job begins with: its head, its submitter, and one worker of each group."""
    found = pods([job])
    names = {n for pod in found for c in pod.main for n in (c.get("resources") or {}).get("requests") or ()}
    return {name: sum(asked(pod, "requests", name) * count(pod) for pod in found) for name in names}


def _given(build: Build, queue: str) -> dict[str, float]:
    """The quota of a LocalQueue's ClusterQueue itself, without what it may borrow."""
    queues = [each for each in build.there if each["kind"] == "LocalQueue" and each["metadata"]["name"] == queue]
    names = {each["spec"]["clusterQueue"] for each in queues}
    found = [each for each in build.there if each["kind"] == "ClusterQueue" and each["metadata"]["name"] in names]
    flavors = [flavor for each in found for group in each["spec"]["resourceGroups"] for flavor in group["flavors"]]
    return {given["name"]: number(given["nominalQuota"]) for flavor in flavors for given in flavor["resources"]}


def _jobs(build: Build) -> list[tuple[Object, dict[str, Any]]]:
    return [(each, each["spec"]) for each in build.of_kind("RayJob")]


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
