"""Pod security: the profile *restricted* of the Pod Security Standards, for every pod that comes of a build.

As written in the standard for Kubernetes 1.37, which is stricter than 1.30's by the hosts of probes and hooks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.k8s.builds import GATEWAYS, NAMESPACE, Build, Object
from tests.k8s.pods import Pod, pods

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
}
_SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_LEVELS = {
    NAMESPACE: dict.fromkeys(("enforce", "warn", "audit"), "restricted"),
    GATEWAYS: {"enforce": "baseline", "warn": "baseline", "audit": "restricted"},  # other people's pods
}


def unrestricted(build: Build) -> list[str]:
    """What *restricted* refuses of the pods."""
    return [problem for pod in pods(build.objects) for problem in (*_of_pod(pod), *_of_containers(pod))]


def unguarded_namespaces(build: Build) -> list[str]:
    """Namespaces in which a pod security is not enforced, or not warned of: *restricted* where ours are."""
    problems = []
    for each in build.of_kind("Namespace"):
        labels = each["metadata"].get("labels") or {}
        wanted = {f"pod-security.kubernetes.io/{mode}": level for mode, level in _level(each).items()}
        missing = [f"{key}: {value}" for key, value in wanted.items() if labels.get(key) != value]
        problems += [f"namespace {each['metadata']['name']} isn't labelled {text}" for text in missing]
    return problems


def _level(namespace: Object) -> dict[str, str]:
    return _LEVELS.get(namespace["metadata"]["name"], _LEVELS[NAMESPACE])


def _of_pod(pod: Pod) -> Iterator[str]:
    spec, context = pod.spec, pod.spec.get("securityContext") or {}
    for word in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(word):
            yield f"{pod.where}: {word}"
    for volume in spec.get("volumes") or ():
        if wrong := set(volume) - {"name"} - _VOLUMES:
            yield f"{pod.where}: the volume {volume['name']} is of the type {wrong.pop()}"
    for sysctl in context.get("sysctls") or ():
        if sysctl["name"] not in _SYSCTLS:
            yield f"{pod.where}: the sysctl {sysctl['name']}"
    yield from _of_context(pod.where, context)


def _of_containers(pod: Pod) -> Iterator[str]:
    over = pod.spec.get("securityContext") or {}
    for container in pod.containers:
        where, own = pod.named(container), container.get("securityContext") or {}
        yield from _of_context(where, own)
        if own.get("runAsNonRoot", over.get("runAsNonRoot")) is not True:
            yield f"{where}: runAsNonRoot isn't true"
        profile = (own.get("seccompProfile") or over.get("seccompProfile") or {}).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            yield f"{where}: its seccompProfile is {profile}"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{where}: allowPrivilegeEscalation isn't false"
        yield from _of_capabilities(where, own.get("capabilities") or {})
        yield from _of_hosts(where, container)


def _of_context(where: str, context: dict[str, Any]) -> Iterator[str]:
    """What is forbidden on a pod and on a container alike."""
    if context.get("privileged"):
        yield f"{where}: privileged"
    if context.get("procMount", "Default") != "Default":
        yield f"{where}: its procMount is {context['procMount']}"
    if context.get("runAsUser") == 0:
        yield f"{where}: runAsUser is 0"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{where}: hostProcess"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type", "") not in _SELINUX or selinux.get("user") or selinux.get("role"):
        yield f"{where}: its seLinuxOptions are {selinux}"
    if (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault") == "Unconfined":
        yield f"{where}: AppArmor is unconfined"


def _of_capabilities(where: str, capabilities: dict[str, Any]) -> Iterator[str]:
    if "ALL" not in (capabilities.get("drop") or ()):
        yield f"{where}: it doesn't drop ALL capabilities"
    if added := set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
        yield f"{where}: it adds the capabilities {sorted(added)}"


def _of_hosts(where: str, container: dict[str, Any]) -> Iterator[str]:
    for port in container.get("ports") or ():
        if port.get("hostPort"):
            yield f"{where}: the hostPort {port['hostPort']}"
    asked = [container.get(word) or {} for word in ("livenessProbe", "readinessProbe", "startupProbe")]
    asked += [hook for hook in (container.get("lifecycle") or {}).values() if isinstance(hook, dict)]
    for each in asked:
        if any((each.get(way) or {}).get("host") for way in ("httpGet", "tcpSocket")):
            yield f"{where}: a probe or hook names a host"
