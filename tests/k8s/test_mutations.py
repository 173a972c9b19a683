"""The checks themselves: taking away or misspelling any one required thing is reported, by the check that is for it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.k8s import (
    access,
    commands,
    containers,
    crds,
    disruption,
    endpoints,
    environment,
    gateways,
    handing_over,
    inventory,
    jobs,
    kuberay,
    metrics,
    mutation,
    naming,
    network,
    pod_security,
    policies,
    quota,
    references,
    schemas,
    settings,
    versions,
)
from tests.k8s.builds import Object, label
from tests.k8s.mutation import Check, Edit, Mutation, add, drop, plus, put, remove, rename

CLUSTER, MLFLOW, POSTGRES = "RayCluster raymill", "Deployment mlflow", "StatefulSet postgres"
GRPC = "Service flight-delays-grpc"
BUDGET = "PodDisruptionBudget flight-delays-endpoint"
HEAD_POD = "spec.headGroupSpec.template.spec"
HEAD = f"{HEAD_POD}.containers[0]"
WORKERS_POD = "spec.workerGroupSpecs[groupName=cpu].template.spec"
WORKERS = f"{WORKERS_POD}.containers[0]"
POD = "spec.template.spec"
JOBS_HEAD = "spec.rayClusterSpec.headGroupSpec.template.spec.containers[0]"
ENDPOINTS_HEAD = "spec.rayClusterConfig.headGroupSpec.template.spec.containers[0]"
ENDPOINTS_WORKERS = "spec.rayClusterConfig.workerGroupSpecs[0].template.spec"
SUBMITTER = "spec.submitterPodTemplate.spec"
LAUNCHER = "spec.jobTemplate.spec.template.spec"
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "stringData": {"password": "x"}}
CLEAR = {"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}
HOST = {"name": "h", "hostPath": {"path": "/"}}
ANYBODY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x"}}
ANYBODY |= {"spec": {"podSelector": {}, "ingress": [{}]}}


def lower(name: str, path: str) -> Edit:
    return put(name, path, lambda text: text[:-1])


def alert_for(expression: str) -> Object:
    """A group with an alert that says nothing."""
    return {"name": "x", "rules": [{"alert": "X", "expr": expression}]}


def no_tag(image: str) -> str:
    return image.rpartition(":")[0]


CHANGES: dict[str, tuple[Check, Edit, str]] = {
    # pods
    "a head without a securityContext": (pod_security.unrestricted, drop(CLUSTER, f"{HEAD}.securityContext"), CLUSTER),
    "workers without a seccomp profile": (
        pod_security.unrestricted,
        drop(CLUSTER, f"{WORKERS_POD}.securityContext.seccompProfile"),
        CLUSTER,
    ),
    "an autoscaler without a securityContext": (
        pod_security.unrestricted,
        drop(CLUSTER, "spec.autoscalerOptions.securityContext"),
        CLUSTER,
    ),
    "an init container that keeps its capabilities": (
        pod_security.unrestricted,
        drop(MLFLOW, f"{POD}.initContainers[0].securityContext.capabilities"),
        MLFLOW,
    ),
    "a database that runs as root": (
        pod_security.unrestricted,
        put(POSTGRES, f"{POD}.securityContext.runAsUser", 0),
        POSTGRES,
    ),
    "a pod that may be root": (pod_security.unrestricted, drop(MLFLOW, f"{POD}.securityContext.runAsNonRoot"), MLFLOW),
    "a pod that mounts its host": (pod_security.unrestricted, put(CLUSTER, f"{HEAD_POD}.volumes", plus(HOST)), CLUSTER),
    "a pod in its host's network": (pod_security.unrestricted, put(CLUSTER, f"{HEAD_POD}.hostNetwork", True), CLUSTER),
    "a submitter without a securityContext": (
        pod_security.unrestricted,
        drop("RayJob", f"{SUBMITTER}.containers[0].securityContext"),
        "RayJob",
    ),
    "a launcher that may gain rights": (
        pod_security.unrestricted,
        drop("CronJob", f"{LAUNCHER}.containers[0].securityContext.allowPrivilegeEscalation"),
        "CronJob",
    ),
    "a namespace where restricted is misspelt": (
        pod_security.unguarded_namespaces,
        lower("Namespace raymill", "metadata.labels[pod-security.kubernetes.io/enforce]"),
        CLUSTER,
    ),
    "a root file system that can be written": (
        containers.writable_roots,
        drop(CLUSTER, f"{HEAD}.securityContext.readOnlyRootFilesystem"),
        CLUSTER,
    ),
    "no place for scratch files": (
        containers.writable_roots,
        drop(CLUSTER, f"{WORKERS}.volumeMounts[mountPath=/tmp]"),
        CLUSTER,
    ),
    "an image without a tag": (containers.moving_images, put(MLFLOW, f"{POD}.containers[0].image", no_tag), MLFLOW),
    "an image that is the latest": (containers.moving_images, put(CLUSTER, f"{HEAD}.image", "raymill:latest"), CLUSTER),
    "a production overlay without a digest": (
        containers.undigested_images,
        put(POSTGRES, f"{POD}.containers[0].image", lambda image: image.partition("@")[0]),
        "overlays/cpu",
    ),
    "more memory asked than allowed": (
        containers.unbounded,
        put(CLUSTER, f"{WORKERS}.resources.limits.memory", "1Gi"),
        CLUSTER,
    ),
    "no requests and no limits": (containers.unbounded, drop(MLFLOW, f"{POD}.containers[0].resources"), MLFLOW),
    "a quantity that is none": (containers.unbounded, put(CLUSTER, f"{HEAD}.resources.limits.memory", "8GB"), CLUSTER),
    "workers that nobody asks": (containers.unprobed, drop(CLUSTER, f"{WORKERS}.livenessProbe"), CLUSTER),
    "a database that nobody asks": (
        containers.unprobed,
        drop(POSTGRES, f"{POD}.containers[0].readinessProbe"),
        POSTGRES,
    ),
    "a volume that may fill its node": (
        containers.unbounded_scratch,
        drop(CLUSTER, f"{HEAD_POD}.volumes[name=tmp].emptyDir.sizeLimit"),
        CLUSTER,
    ),
    "variables of every Service": (
        containers.service_links,
        drop("CronJob", f"{LAUNCHER}.enableServiceLinks"),
        "CronJob",
    ),
    "a variable that is set twice": (
        containers.said_twice,
        put(CLUSTER, f"{HEAD}.env", lambda env: [*env, env[0]]),
        CLUSTER,
    ),
    "a worker that is not drained": (containers.undrained, drop(CLUSTER, f"{WORKERS}.lifecycle"), CLUSTER),
    "a worker with no time to drain": (
        containers.undrained,
        drop(CLUSTER, f"{WORKERS_POD}.terminationGracePeriodSeconds"),
        CLUSTER,
    ),
    # access
    "workers with a token": (
        access.needless_tokens,
        put(CLUSTER, f"{WORKERS_POD}.automountServiceAccountToken", True),
        CLUSTER,
    ),
    "an account that hands out tokens": (
        access.needless_tokens,
        drop("ServiceAccount mlflow", "automountServiceAccountToken"),
        CLUSTER,
    ),
    "a head without a token": (
        access.missing_tokens,
        put(CLUSTER, f"{HEAD_POD}.automountServiceAccountToken", False),
        CLUSTER,
    ),
    "a head without rights": (access.missing_tokens, remove("RoleBinding ray-head"), CLUSTER),
    "a head that may delete pods": (
        access.wider_heads,
        put("Role ray-head", "rules[0].verbs", plus("delete")),
        CLUSTER,
    ),
    "a rule for all verbs": (access.wild_rights, put("Role ray-head", "rules[0].verbs", ["*"]), CLUSTER),
    "a rule for all groups": (access.wild_rights, put("Role raymill-launcher", "rules[0].apiGroups", ["*"]), CLUSTER),
    "a rule for secrets": (
        access.wild_rights,
        put("Role raymill-launcher", "rules[0].resources", plus("secrets")),
        CLUSTER,
    ),
    "a launcher that may delete pods": (
        access.wider_launcher,
        put("Role raymill-launcher", "rules", plus({"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]})),
        CLUSTER,
    ),
    "a launcher that may not create": (access.wider_launcher, drop("Role raymill-launcher", "rules[0]"), CLUSTER),
    "a password in the process list": (
        access.secrets_in_arguments,
        put(MLFLOW, f"{POD}.initContainers[0].command", ["mlflow", "db", "upgrade", "$(MLFLOW_BACKEND_STORE_URI)"]),
        MLFLOW,
    ),
    "a migration that is misspelt": (
        commands.bad_commands,
        put(MLFLOW, f"{POD}.initContainers[0].command[2]", lambda text: text.replace("mlflow.db, os", "mlflow.bd, os")),
        MLFLOW,
    ),
    "a password in clear": (access.secrets_in_clear, put(MLFLOW, f"{POD}.containers[0].env", plus(CLEAR)), MLFLOW),
    "a password in an address": (
        access.secrets_in_clear,
        put("ConfigMap mlflow", "data.uri", "postgresql://mlflow:hunter2@postgres/mlflow"),
        MLFLOW,
    ),
    "a secret that is committed": (access.secrets_in_clear, add(SECRET), CLUSTER),
    # network
    "no default": (network.open_by_default, remove("NetworkPolicy default-deny"), CLUSTER),
    "no way for the operator": (network.cut_off, remove("NetworkPolicy operator-to-heads"), CLUSTER),
    "no way for Prometheus": (network.cut_off, remove("NetworkPolicy prometheus"), CLUSTER),
    "no way to names": (network.cut_off, remove("NetworkPolicy dns"), CLUSTER),
    "no way to the API server": (network.cut_off, remove("NetworkPolicy heads-to-api-server"), CLUSTER),
    "no way to the store": (network.cut_off, remove("NetworkPolicy to-store"), CLUSTER),
    "no way from a submitter": (network.cut_off, drop("RayJob", "spec.submitterPodTemplate.metadata"), "RayJob"),
    "a policy for a label that nobody has": (
        network.cut_off,
        put("NetworkPolicy ray", "spec.podSelector.matchLabels", {"ray.io/is-ray-nod": "yes"}),
        CLUSTER,
    ),
    "a policy for everybody": (network.too_open, add(ANYBODY), CLUSTER),
    # KubeRay
    "a submission mode that is none": (
        jobs.bad_submissions,
        lower("RayJob", "spec.submissionMode"),
        "RayJob",
    ),
    "no template for the submitter": (jobs.bad_submissions, drop("RayJob", "spec.submitterPodTemplate"), "RayJob"),
    "no word about authentication": (kuberay.open_dashboards, drop(CLUSTER, "spec.authOptions"), CLUSTER),
    "no word about authentication in a job": (
        kuberay.open_dashboards,
        drop("RayJob", "spec.rayClusterSpec.authOptions"),
        "RayJob",
    ),
    "a cluster that stays after its job": (
        jobs.endless_jobs,
        drop("RayJob", "spec.shutdownAfterJobFinishes"),
        "RayJob",
    ),
    "a second cluster for a job that failed": (jobs.endless_jobs, put("RayJob", "spec.backoffLimit", 2), "RayJob"),
    "a job without a deadline": (jobs.endless_jobs, drop("RayJob", "spec.activeDeadlineSeconds"), "RayJob"),
    "a job with two clusters": (
        jobs.unclear_clusters,
        put("RayJob", "spec.clusterSelector", {"ray.io/cluster": "raymill"}),
        "RayJob",
    ),
    "an upgradeStrategy in a job's cluster": (
        jobs.unclear_clusters,
        put("RayJob", "spec.rayClusterSpec.upgradeStrategy", {"type": "None"}),
        "RayJob",
    ),
    "an endpoint without its head": (
        endpoints.bad_endpoints,
        put("RayService", "spec.excludeHeadPodFromServeSvc", True),
        "RayService",
    ),
    "an endpoint without an upgradeStrategy": (
        endpoints.bad_endpoints,
        drop("RayService", "spec.upgradeStrategy"),
        "RayService",
    ),
    "an endpoint on one node": (
        endpoints.bad_endpoints,
        drop("RayService", f"{ENDPOINTS_WORKERS}.topologySpreadConstraints"),
        "RayService",
    ),
    "an endpoint whose port is nowhere": (
        endpoints.bad_endpoints,
        drop("RayService", f"{ENDPOINTS_WORKERS}.containers[0].ports[name=serve]"),
        "RayService",
    ),
    "a head that works": (kuberay.working_heads, drop(CLUSTER, "spec.headGroupSpec.rayStartParams.num-cpus"), CLUSTER),
    "a parameter that is no string": (
        kuberay.working_heads,
        put(CLUSTER, "spec.headGroupSpec.rayStartParams.num-cpus", 0),
        CLUSTER,
    ),
    "the first autoscaler": (kuberay.bad_autoscaling, drop(CLUSTER, "spec.autoscalerOptions.version"), CLUSTER),
    "replicas of a group that is scaled": (
        kuberay.bad_autoscaling,
        put(CLUSTER, "spec.workerGroupSpecs[0].replicas", 2),
        CLUSTER,
    ),
    "a group without a bound": (
        kuberay.bad_autoscaling,
        drop(CLUSTER, "spec.workerGroupSpecs[0].maxReplicas"),
        CLUSTER,
    ),
    "a group that never shrinks": (
        kuberay.idle_groups_that_stay,
        put(CLUSTER, "spec.workerGroupSpecs[0].minReplicas", 1),
        CLUSTER,
    ),
    "a head with little memory": (
        kuberay.small_nodes,
        put(CLUSTER, f"{HEAD}.resources", {"limits": {"cpu": "2", "memory": "2Gi"}}),
        CLUSTER,
    ),
    "shared memory on a disk": (
        kuberay.small_nodes,
        drop(CLUSTER, f"{WORKERS_POD}.volumes[name=shared-mem].emptyDir.medium"),
        CLUSTER,
    ),
    "an alpha feature": (kuberay.alpha_features, put(CLUSTER, "spec.networkPolicy", {"mode": "DenyAll"}), CLUSTER),
    "a variable of KubeRay's": (
        kuberay.spoilt_environment,
        put(CLUSTER, f"{HEAD}.env", plus({"name": "RAY_AUTH_MODE", "value": "disabled"})),
        CLUSTER,
    ),
    "a label that KubeRay selects by": (
        naming.relabelled,
        put(CLUSTER, "spec.headGroupSpec.template.metadata.labels[app.kubernetes.io/name]", "ray"),
        CLUSTER,
    ),
    "a name that is too long": (naming.long_names, put("RayJob", "metadata.name", "n" * 48), "RayJob"),
    # references
    "an account that is misspelt": (
        references.dangling,
        put(CLUSTER, f"{WORKERS_POD}.serviceAccountName", "ray-wroker"),
        CLUSTER,
    ),
    "a ConfigMap that is misspelt": (
        references.dangling,
        put(CLUSTER, f"{HEAD}.envFrom[0].configMapRef.name", "raymill-sotre"),
        CLUSTER,
    ),
    "a secret that nobody makes": (
        references.dangling,
        put(POSTGRES, f"{POD}.containers[0].env[name=POSTGRES_PASSWORD].valueFrom.secretKeyRef.name", "mlflow-db"),
        POSTGRES,
    ),
    "a volume that is misspelt": (
        references.unmounted,
        put(CLUSTER, f"{HEAD_POD}.volumes[name=tmp].name", "temp"),
        CLUSTER,
    ),
    "a budget for nobody": (
        references.lonely_selectors,
        put("PodDisruptionBudget ray-head", "spec.selector.matchLabels", {"ray.io/node-typ": "head"}),
        CLUSTER,
    ),
    "a Service for nobody": (
        references.lonely_selectors,
        put("Service mlflow", "spec.selector", {"app.kubernetes.io/name": "mlfow"}),
        MLFLOW,
    ),
    "a port of gRPC that is misspelt": (
        references.closed_ports,
        put(GRPC, "spec.ports[0].targetPort", "gprc"),
        GRPC,
    ),
    "a Service of gRPC for another endpoint": (
        references.lonely_selectors,
        put(GRPC, "spec.selector[raymill/spec]", "flight-delay"),
        GRPC,
    ),
    "a port that is misspelt": (
        references.closed_ports,
        put("Service mlflow", "spec.ports[0].targetPort", "htpt"),
        MLFLOW,
    ),
    "a binding of a role that is misspelt": (
        references.unbound,
        put("RoleBinding ray-head", "roleRef.name", "ray-haed"),
        CLUSTER,
    ),
    "a queue that is misspelt": (
        references.unbound,
        put("RayJob", "metadata.labels[kueue.x-k8s.io/queue-name]", "jbos"),
        "run, components/all",
    ),
    "another namespace": (naming.misplaced, put(MLFLOW, "metadata.namespace", "default"), MLFLOW),
    "a class of the whole cluster called as another team's": (
        naming.common_names,
        put("WorkloadPriorityClass raymill-high", "metadata.name", "high"),
        "WorkloadPriorityClass",
    ),
    "an object that nobody finds": (
        naming.unlabelled,
        drop(MLFLOW, "metadata.labels[app.kubernetes.io/part-of]"),
        MLFLOW,
    ),
    "a quota that is too small": (
        quota.over_quota,
        put("ResourceQuota raymill", "spec.hard[requests.memory]", "8Gi"),
        CLUSTER,
    ),
    "no default for a container that a quota refuses": (quota.over_quota, remove("LimitRange raymill"), CLUSTER),
    "a setting that is misspelt": (
        settings.bad_settings,
        rename("ConfigMap raymill-jobs", "data", "deadline_s", "deadline"),
        CLUSTER,
    ),
    "a setting that is no number": (
        settings.bad_settings,
        put("ConfigMap raymill-jobs", "data.wait_s", "30m"),
        CLUSTER,
    ),
    "a resource that the queue doesn't count": (
        jobs.unfit_for_queues,
        put("RayJob", f"{SUBMITTER}.containers[0].resources.requests[example.com/fpga]", "1"),
        "run, components/all",
    ),
    "a job in a queue that isn't elastic": (
        jobs.unfit_for_queues,
        drop("RayJob", "metadata.annotations[kueue.x-k8s.io/elastic-job]"),
        "run, components/all",
    ),
    "no quota": (inventory.missing, remove("ResourceQuota raymill"), CLUSTER),
    "no budget for an endpoint": (disruption.unkept, remove(BUDGET), BUDGET),
    "a budget for another endpoint": (
        disruption.unkept,
        put(BUDGET, "spec.selector.matchLabels[raymill/spec]", "flight-delay"),
        BUDGET,
    ),
    "a budget that keeps nothing": (disruption.loose_budgets, drop(BUDGET, "spec.minAvailable"), BUDGET),
    "a budget by a share": (disruption.loose_budgets, put(BUDGET, "spec.minAvailable", "50%"), BUDGET),
    "no budget for the standing head": (disruption.unkept, remove("PodDisruptionBudget ray-head"), CLUSTER),
    "a head with two budgets": (
        disruption.unkept,
        drop("PodDisruptionBudget job-heads", "spec.selector.matchExpressions"),
        CLUSTER,
    ),
    "no monitor of workers": (inventory.missing, remove("PodMonitor ray-workers"), "PodMonitor"),
    "no alert for endpoints": (
        inventory.missing,
        drop("PrometheusRule", "spec.groups[name=raymill.endpoints]"),
        "PodMonitor",
    ),
    "no group with GPUs": (inventory.missing, drop(CLUSTER, "spec.workerGroupSpecs[groupName=gpu]"), CLUSTER),
    "MLflow that everybody reaches": (inventory.public, put("Service mlflow", "spec.type", "LoadBalancer"), MLFLOW),
    "a head that everybody reaches": (
        inventory.public,
        put(CLUSTER, "spec.headGroupSpec.serviceType", "NodePort"),
        CLUSTER,
    ),
    "MLflow without its migration": (inventory.bad_tracker, drop(MLFLOW, f"{POD}.initContainers"), MLFLOW),
    "a probe of another path": (
        commands.unanswered,
        put(CLUSTER, f"{WORKERS}.readinessProbe.httpGet.path", "/api/health"),
        CLUSTER,
    ),
    # what is handed over, and what stands
    "a spec that isn't mounted by itself": (
        handing_over.lost_files,
        drop("RayJob", f"{SUBMITTER}.containers[0].volumeMounts[mountPath=/job/spec.yaml].subPath"),
        "RayJob",
    ),
    "a job without its files": (handing_over.lost_files, drop("RayJob", "spec.runtimeEnvYAML"), "RayJob"),
    "a job of another id": (handing_over.unlike_ids, put("RayJob", "spec.jobId", "another"), "RayJob"),
    "a job that isn't found by its spec": (
        handing_over.unfindable,
        drop("RayJob", "metadata.labels[raymill/spec]"),
        "RayJob",
    ),
    "two jobs at a time": (handing_over.loose_schedules, drop("CronJob", "spec.concurrencyPolicy"), "CronJob"),
    "a job past the queue": (
        jobs.unfit_for_queues,
        drop("RayJob", "metadata.labels[kueue.x-k8s.io/queue-name]"),
        "run, components/all",
    ),
    "an endpoint of another application": (
        endpoints.unservable,
        put("RayService", "spec.serveConfigV2", lambda text: text.replace("serving.app:build", "serving.app:buid")),
        "RayService",
    ),
    "an argument that the endpoint doesn't take": (
        endpoints.unservable,
        put("RayService", "spec.serveConfigV2", lambda text: text.replace("max_batch_size", "batch_size")),
        "RayService",
    ),
    "a head without HAProxy": (
        endpoints.unsettled,
        drop("RayService", f"{ENDPOINTS_HEAD}.env[name=RAY_SERVE_ENABLE_HA_PROXY]"),
        "RayService",
    ),
    "an endpoint without its Redis": (
        endpoints.forgetful,
        drop("RayService", "spec.rayClusterConfig.gcsFaultToleranceOptions"),
        "service, overlays/cpu",
    ),
    "an endpoint in the part of another": (
        endpoints.forgetful,
        put("RayService", "spec.rayClusterConfig.gcsFaultToleranceOptions.externalStorageNamespace", "raymill"),
        "service, overlays/cpu",
    ),
    "a job that keeps its state": (
        jobs.useless_state,
        put("RayJob", "spec.rayClusterSpec.gcsFaultToleranceOptions", {"redisAddress": "redis:6379"}),
        "RayJob",
    ),
    "a production overlay without Redis": (
        inventory.missing,
        drop(CLUSTER, "spec.gcsFaultToleranceOptions"),
        "overlays/gpu",
    ),
    "no keys of the store": (references.storeless, drop(CLUSTER, f"{WORKERS}.envFrom[1]"), CLUSTER),
    "no place for a home": (
        containers.writable_roots,
        drop(CLUSTER, f"{HEAD}.volumeMounts[mountPath=/home/raymill]"),
        CLUSTER,
    ),
    "scratch larger than what a pod may have": (
        containers.unbounded_scratch,
        put(CLUSTER, f"{WORKERS_POD}.volumes[name=tmp].emptyDir.sizeLimit", "1Ti"),
        CLUSTER,
    ),
    "an object store larger than its memory": (
        kuberay.small_nodes,
        put(CLUSTER, "spec.workerGroupSpecs[0].rayStartParams.object-store-memory", "64000000000"),
        CLUSTER,
    ),
    "a probe that kills a loaded head": (
        containers.bad_probes,
        put(CLUSTER, f"{HEAD}.livenessProbe.failureThreshold", 1),
        CLUSTER,
    ),
    "a probe that asks nothing": (containers.bad_probes, drop(CLUSTER, f"{HEAD}.livenessProbe.httpGet"), CLUSTER),
    "a database without a password": (
        inventory.open_databases,
        drop(POSTGRES, f"{POD}.containers[0].env[name=POSTGRES_PASSWORD]"),
        POSTGRES,
    ),
    "an open listener": (inventory.public, put("Gateway", "spec.listeners[0].protocol", "HTTP"), "Gateway"),
    "a route to nowhere": (gateways.dead_ends, drop("HTTPRoute", "spec.rules[0].backendRefs"), "HTTPRoute"),
    "a Gateway among the models": (
        gateways.refused_proxies,
        put("Gateway", "metadata.namespace", "raymill"),
        "Gateway",
    ),
    "a certificate in another namespace": (
        gateways.dead_ends,
        put("Certificate raymill-endpoints", "metadata.namespace", "raymill"),
        "Gateway",
    ),
    "a route for a Gateway of its own namespace": (
        gateways.dead_ends,
        drop("HTTPRoute", "spec.parentRefs[0].namespace"),
        "Gateway",
    ),
    "a Gateway that takes no route of others": (
        gateways.dead_ends,
        put("Gateway", "spec.listeners[0].allowedRoutes.namespaces", {"from": "Same"}),
        "Gateway",
    ),
    "a Gateway's namespace without pod security": (
        pod_security.unguarded_namespaces,
        drop("Namespace raymill-gateway", "metadata.labels[pod-security.kubernetes.io/enforce]"),
        "Gateway",
    ),
    "a queue without preemption": (inventory.selfish_queues, drop("ClusterQueue", "spec.preemption"), "ClusterQueue"),
    # words
    "a job that is misspelt": (
        commands.bad_commands,
        put("RayJob", "spec.entrypoint", lambda text: text.replace("jobs.", "jbos.")),
        "RayJob",
    ),
    "an option that is misspelt": (
        commands.bad_commands,
        put("RayJob", "spec.entrypoint", lambda text: text.replace("--json", "--jason")),
        "RayJob",
    ),
    "a launcher's command that is misspelt": (
        commands.bad_commands,
        put("CronJob", f"{LAUNCHER}.containers[0].command[1]", "rnu"),
        "CronJob",
    ),
    "a parameter that is misspelt": (
        commands.bad_commands,
        rename(CLUSTER, "spec.headGroupSpec.rayStartParams", "num-cpus", "num-cpu"),
        CLUSTER,
    ),
    "a variable that is misspelt": (
        environment.unread,
        put(CLUSTER, f"{HEAD}.env[name=RAY_SERVE_ENABLE_HA_PROXY].name", "RAY_SERVE_ENABLE_HAPROXY"),
        CLUSTER,
    ),
    "a setting of Ray's core that is misspelt": (
        environment.unread,
        put(CLUSTER, f"{HEAD}.env[name=RAY_task_oom_retries].name", "RAY_task_omo_retries"),
        CLUSTER,
    ),
    "another Ray": (versions.other_rays, put(CLUSTER, "spec.rayVersion", "2.59.0"), CLUSTER),
    "another raymill": (versions.other_raymills, put(CLUSTER, f"{WORKERS}.image", "raymill:0.0.9"), CLUSTER),
    # schemas, policies, monitoring
    "a field of Kubernetes that is misspelt": (
        schemas.core_problems,
        rename(MLFLOW, f"{POD}.containers[0]", "readinessProbe", "readinesProbe"),
        MLFLOW,
    ),
    "a policy that only warns": (
        policies.toothless,
        put("ValidatingAdmissionPolicyBinding", "spec.validationActions", ["Warn"]),
        "ValidatingAdmissionPolicy",
    ),
    "a policy that nothing binds": (
        policies.toothless,
        remove("ValidatingAdmissionPolicyBinding"),
        "ValidatingAdmissionPolicy",
    ),
    "an alert for a metric that is misspelt": (
        metrics.unexported,
        put("PrometheusRule", "spec.groups", plus(alert_for("ray_raymil_jobs_total > 0"))),
        "PrometheusRule",
    ),
    "an alert for an endpoint's metric that is misspelt": (
        metrics.unexported,
        put("PrometheusRule", "spec.groups", plus(alert_for("ray_raymill_endpoint_request_total > 0"))),
        "PrometheusRule",
    ),
    "a sum of an endpoint's metric by a label of jobs": (
        metrics.unlabelled,
        put("PrometheusRule", "spec.groups", plus(alert_for("sum by (spec) (ray_raymill_endpoint_rows_total) > 0"))),
        "PrometheusRule",
    ),
    "an alert that says nothing": (
        metrics.unexplained,
        put("PrometheusRule", "spec.groups", plus(alert_for("up == 0"))),
        "PrometheusRule",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_missing_or_misspelt_is_reported(what: str) -> None:
    check, edit, of = CHANGES[what]
    assert Mutation(what=what, of=of, edit=edit, check=check).problems()


@pytest.mark.parametrize(
    "name", ["NetworkPolicy endpoints", "NetworkPolicy to-store", "NetworkPolicy operator-to-heads"]
)
def test_an_endpoint_that_a_missing_policy_cuts_off_is_reported(name: str) -> None:
    build = mutation.of_build("service, overlays/cpu")
    beside = [each for each in build.beside if label(each) != name]
    assert len(beside) < len(build.beside)
    assert network.cut_off(replace(build, beside=tuple(beside)))


@pytest.mark.parametrize(
    ("name", "path", "value", "what"),
    [
        ("dns", "spec.egress[1]", [], "OpenShift's DNS"),
        ("dns", "spec.egress[0].to", lambda peers: peers[:-1], "can't reach DNS"),
        ("to-store", "spec.egress[1]", [], "EKS' agent"),
        ("to-store", "spec.egress[0].to", lambda peers: peers[:1], "by IPv6"),
        ("to-store", "spec.podSelector", {"matchLabels": {"ray.io/is-ray-node": "yes"}}, "CronJob"),
        ("launchers", "spec.egress[0].to", lambda peers: peers[:1], "the API server by IPv6"),
    ],
)
def test_what_a_missing_address_cuts_off_is_reported(name: str, path: str, value: Any, what: str) -> None:
    build = mutation.of_build("schedule, overlays/cpu")
    beside = json.loads(json.dumps(build.beside))
    assert network.cut_off(build) == network.too_open(build) == []
    edit = drop(f"NetworkPolicy {name}", path) if value == [] else put(f"NetworkPolicy {name}", path, value)
    edit(beside)
    assert any(what in said for said in network.cut_off(replace(build, beside=tuple(beside))))


@pytest.mark.parametrize(("name", "port"), [("submitters-to-heads", 8265), ("mlflow", 5000)])
def test_a_launcher_that_reaches_more_than_it_needs_is_reported(name: str, port: int) -> None:
    build = mutation.of_build("schedule, overlays/cpu")
    beside = json.loads(json.dumps(build.beside))
    put("NetworkPolicy launchers", "spec.egress", plus({"ports": [{"protocol": "TCP", "port": port}]}))(beside)
    put(f"NetworkPolicy {name}", "spec.ingress", plus({"ports": [{"protocol": "TCP", "port": port}]}))(beside)
    assert any(f"at TCP {port}" in said for said in network.too_open(replace(build, beside=tuple(beside))))


def test_a_budget_that_lets_heads_of_jobs_go_is_reported() -> None:
    build = mutation.of_build("run, overlays/cpu")
    beside = json.loads(json.dumps(build.beside))
    assert disruption.loose_budgets(build) == disruption.unkept(build) == []
    put("PodDisruptionBudget job-heads", "spec.minAvailable", 1)(beside)
    assert disruption.loose_budgets(replace(build, beside=tuple(beside)))
    without = tuple(each for each in build.beside if label(each) != "PodDisruptionBudget job-heads")
    assert disruption.unkept(replace(build, beside=without))


def test_a_gateway_whose_namespace_may_not_ask_is_reported() -> None:
    build = mutation.of_build("service, components/all")
    beside = json.loads(json.dumps(build.beside))
    drop("Namespace raymill-gateway", "metadata.labels[raymill/asks-endpoints]")(beside)
    assert any("the Gateway raymill-gateway" in said for said in network.cut_off(replace(build, beside=tuple(beside))))


def test_grpc_that_a_policy_leaves_out_is_reported() -> None:
    build = mutation.of_build("service, overlays/cpu")
    beside = json.loads(json.dumps(build.beside))
    put("NetworkPolicy endpoints", "spec.ingress[0].ports", [{"protocol": "TCP", "port": 8000}])(beside)
    assert any("at TCP 9000" in said for said in network.cut_off(replace(build, beside=tuple(beside))))


# Only the CRDs' schemas see these.
MISSPELT: dict[str, tuple[Edit, str]] = {
    "probes": (rename(CLUSTER, HEAD, "livenessProbe", "livenesProbe"), CLUSTER),
    "autoscalerOptions": (rename(CLUSTER, "spec", "autoscalerOptions", "autoscalerOption"), CLUSTER),
    "idleTimeoutSeconds": (
        rename(CLUSTER, "spec.workerGroupSpecs[0]", "idleTimeoutSeconds", "idleTimeoutSecond"),
        CLUSTER,
    ),
    "shutdownAfterJobFinishes": (
        rename("RayJob", "spec", "shutdownAfterJobFinishes", "shutdownAfterJobFinish"),
        "RayJob",
    ),
    "securityContext of a submitter": (
        rename("RayJob", f"{SUBMITTER}.containers[0]", "securityContext", "securityContex"),
        "RayJob",
    ),
    "upgradeStrategy": (rename("RayService", "spec", "upgradeStrategy", "upgradeStragety"), "RayService"),
    "a mode": (put(CLUSTER, "spec.authOptions.mode", "tokens"), CLUSTER),
    "a number": (put(CLUSTER, "spec.workerGroupSpecs[0].maxReplicas", "eight"), CLUSTER),
}


@pytest.mark.parametrize("what", MISSPELT)
def test_what_is_misspelt_in_rays_kinds_is_reported(what: str, known: crds.Crds) -> None:
    edit, of = MISSPELT[what]

    def check(build: mutation.Build) -> list[str]:
        return schemas.custom_problems(build, known)

    assert Mutation(what=what, of=of, edit=edit, check=check).problems()
