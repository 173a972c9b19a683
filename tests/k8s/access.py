"""Access: who holds a token of the API server, what it may do with it, and where secrets are written."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from tests.k8s.builds import Build, Object, label, walk
from tests.k8s.pods import HEAD, Pod, pods, ray_spec

LAUNCHER = "raymill-launcher"
HEAD_ACCOUNT = "ray-head"
HOLDS_A_TOKEN = {
    HEAD_ACCOUNT: "its autoscaler asks for pods",
    LAUNCHER: "it applies and follows rendered jobs",
}
_RULED = ("Role", "ClusterRole")
_POWERS = {"escalate", "bind", "impersonate"}
_RICHES = {"secrets", "serviceaccounts/token", "pods/exec", "pods/attach", "nodes/proxy"}
_SECRETIVE = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|ACCESS_KEY|API_KEY|PRIVATE_KEY|CREDENTIAL)", re.IGNORECASE)
_NO_SECRET = re.compile(r"(_PATH|_FILE|_DIR|_NAME|_MODE)$", re.IGNORECASE)
_IN_AN_ADDRESS = re.compile(r"[a-z][a-z0-9+]*://[^/\s:@]+:(?!\$)[^/\s:@]+@")
_EXPANDED = re.compile(r"\$\((\w+)\)")
_BEARS_A_KEY = re.compile(r"(AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bghp_\w{30,})")


def needless_tokens(build: Build) -> list[str]:
    """Pods and accounts that get a token of the API server and have no use for it."""
    problems = []
    for pod in pods(build.objects):
        account = _account(pod)
        mounted = pod.spec.get("automountServiceAccountToken")
        if account == "default":
            problems.append(f"{pod.where}: it has no account of its own")
        if account not in HOLDS_A_TOKEN and mounted is not False:
            problems.append(f"{pod.where}: automountServiceAccountToken isn't false")
        if account in HOLDS_A_TOKEN and not _may_use(pod, account):
            problems.append(f"{pod.where}: it runs as {account}, which is for another")
    for each in build.of_kind("ServiceAccount"):
        if each["metadata"]["name"] not in HOLDS_A_TOKEN and each.get("automountServiceAccountToken") is not False:
            problems.append(f"{label(each)}: automountServiceAccountToken isn't false")
    return problems


def missing_tokens(build: Build) -> list[str]:
    """Trap 4: heads with an autoscaler that get no token, or an account without rights; it crashes."""
    problems = []
    for pod in (pod for pod in pods(build.objects) if pod.role == HEAD):
        if not (ray_spec(pod.owner) or {}).get("enableInTreeAutoscaling"):
            continue
        if not _mounts_token(pod, build):
            problems.append(f"{pod.where}: its autoscaler gets no token")
        missing = _AUTOSCALER_NEEDS - set(_granted(build, _account(pod)))
        problems += [f"{pod.where}: {_account(pod)} may not {verb} {what}" for verb, what in sorted(missing)]
    return problems


# By the version 2 that is installed, ray/autoscaler/v2/instance_manager/cloud_providers/kuberay/cloud_provider.py.
_AUTOSCALER_NEEDS = {("get", "pods"), ("list", "pods"), ("get", "rayclusters"), ("patch", "rayclusters")}


def wider_heads(build: Build) -> list[str]:
    """What heads may do that their autoscalers don't need."""
    more = set(_granted(build, HEAD_ACCOUNT)) - _AUTOSCALER_NEEDS
    return [f"{HEAD_ACCOUNT}: {verb} {what} is not what it should be allowed" for verb, what in sorted(more)]


def wild_rights(build: Build) -> list[str]:
    """Rules that name a wildcard, a power over rights themselves, or other people's secrets."""
    problems = []
    for each in build.of_kind(*_RULED):
        for rule in each.get("rules") or ():
            words = {key: set(rule.get(key) or ()) for key in ("apiGroups", "resources", "verbs", "nonResourceURLs")}
            problems += [f"{label(each)}: a wildcard in {key}" for key, said in words.items() if "*" in "".join(said)]
            too_much = (words["verbs"] & _POWERS) | (words["resources"] & _RICHES)
            problems += [f"{label(each)}: it grants {word}" for word in sorted(too_much)]
    for each in build.of_kind("RoleBinding", "ClusterRoleBinding"):
        if each["roleRef"]["name"] in ("cluster-admin", "admin", "edit"):
            problems.append(f"{label(each)}: it hands out {each['roleRef']['name']}")
        if any(subject["kind"] == "Group" for subject in each.get("subjects") or ()):
            problems.append(f"{label(each)}: it binds a whole group")
    return problems


def wider_launcher(build: Build) -> list[str]:
    """What the launcher may do, where that isn't exactly what launching takes."""
    if not any(each["metadata"]["name"] == LAUNCHER for each in build.of_kind("ServiceAccount")):
        return []
    wrong = set(_granted(build, LAUNCHER)) ^ _LAUNCHING_NEEDS
    return [f"{LAUNCHER}: {verb} {what} is not what it should be allowed" for verb, what in sorted(wrong)]


_CHANGED = ("rayjobs", "rayservices", "configmaps", "services", "poddisruptionbudgets")
_LAUNCHING_NEEDS = {(verb, what) for verb in ("create", "patch", "delete") for what in _CHANGED}
_LAUNCHING_NEEDS |= {("get", what) for what in ("rayjobs", "rayservices", "configmaps", "rayclusters", "pods/log")}
_LAUNCHING_NEEDS |= {("list", "rayjobs"), ("list", "pods")}


def secrets_in_clear(build: Build) -> list[str]:
    """Secrets whose content is committed, and values in the open that look like one."""
    problems = []
    for each in build.objects:
        if each["kind"] != "Secret":
            problems += [f"{label(each)}: {said}" for said in _opens(each)]
        elif _content(each) and not build.is_local:
            problems.append(f"{label(each)}: its content is here")
        elif any("local" not in text for text in _content(each)):
            problems.append(f"{label(each)}: its content doesn't say that it is for local use alone")
    return problems


def secrets_in_arguments(build: Build) -> list[str]:
    """Secrets that Kubernetes writes into a command, where everybody on the node reads them in the process list."""
    problems = []
    for pod in pods(build.objects):
        for container in pod.containers:
            words = [*(container.get("command") or ()), *(container.get("args") or ())]
            secret = {e["name"] for e in container.get("env") or () if "secretKeyRef" in (e.get("valueFrom") or {})}
            named = {name for word in words for name in _EXPANDED.findall(word)}
            problems += [f"{pod.named(container)}: {name} is in its command" for name in sorted(secret & named)]
    return problems


def _opens(each: Object) -> Iterator[str]:
    for path, value in walk(each):
        if isinstance(value, str) and (_IN_AN_ADDRESS.search(value) or _BEARS_A_KEY.search(value)):
            yield f"{path} holds a password or key"
        if isinstance(value, dict) and value.get("value") and _is_secretive(str(value.get("name", ""))):
            yield f"{path} is a secret in clear"
        if isinstance(value, dict) and path == "data":
            yield from (
                f"{path}.{key} is a secret in clear" for key, text in value.items() if text and _is_secretive(key)
            )


def _is_secretive(name: str) -> bool:
    return bool(_SECRETIVE.search(name) and not _NO_SECRET.search(name))


def _content(secret: Object) -> list[str]:
    decoded = [base64.b64decode(value).decode() for value in (secret.get("data") or {}).values()]
    return [*decoded, *(secret.get("stringData") or {}).values()]


def _account(pod: Pod) -> str:
    return str(pod.spec.get("serviceAccountName") or "default")


def _may_use(pod: Pod, account: str) -> bool:
    return pod.role == HEAD if account == HEAD_ACCOUNT else pod.owner["kind"] == "CronJob"


def _mounts_token(pod: Pod, build: Build) -> bool:
    if (said := pod.spec.get("automountServiceAccountToken")) is not None:
        return bool(said)
    accounts = [each for each in build.there if each["kind"] == "ServiceAccount"]
    own = [each for each in accounts if each["metadata"]["name"] == _account(pod)]
    return bool(own) and own[0].get("automountServiceAccountToken") is not False


def _granted(build: Build, account: str) -> Iterator[tuple[str, str]]:
    """What an account may do, as (verb, resource)."""
    roles = {each["metadata"]["name"]: each for each in build.there if each["kind"] in _RULED}
    for binding in (each for each in build.there if each["kind"] in ("RoleBinding", "ClusterRoleBinding")):
        if any(subject["name"] == account for subject in binding.get("subjects") or ()):
            for rule in roles.get(binding["roleRef"]["name"], {}).get("rules") or ():
                yield from ((verb, what) for verb in rule["verbs"] for what in rule["resources"])
