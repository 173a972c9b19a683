"""Settings: what an overlay says of jobs, in the ConfigMap that `raymill k8s render` reads."""

from __future__ import annotations

from tests.k8s.builds import Build, Object

NAME = "raymill-jobs"
_SECONDS = ("deadline_s", "ttl_s", "wait_s")
_KEYS = {*_SECONDS, "queue", "launcher_service_account", "gateway_class"}


def bad_settings(build: Build) -> list[str]:
    """Settings that are missing, misspelt, or no text of a number."""
    found = [each for each in build.of_kind("ConfigMap") if each["metadata"]["name"] == NAME]
    if build.is_whole and not found:
        return [f"there is no ConfigMap {NAME}"]
    return [problem for each in found for problem in _bad(each, build)]


def _bad(each: Object, build: Build) -> list[str]:
    data = each.get("data") or {}
    problems = [f"{NAME} has no {key}" for key in sorted(_KEYS - set(data))]
    problems += [f"{NAME} has a key {key} that nobody reads" for key in sorted(set(data) - _KEYS)]
    problems += [f"{NAME}: {key} is {data[key]!r}" for key in _SECONDS if not str(data.get(key, "1")).isdigit()]
    queues = {one["metadata"]["name"] for one in build.of_kind("LocalQueue")}
    if data.get("queue") and data["queue"] not in queues:
        problems.append(f"{NAME}: there is no LocalQueue {data['queue']}")
    if queues and not data.get("queue"):
        problems.append(f"{NAME}: there are queues, and jobs go by none of them")
    accounts = {one["metadata"]["name"] for one in build.of_kind("ServiceAccount")}
    if data.get("launcher_service_account") not in accounts:
        problems.append(f"{NAME}: there is no account {data.get('launcher_service_account')}")
    return problems
