"""Handing over: how a job's files reach the process that runs it, and how a schedule starts one."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import ValidationError

from cluster.object_names import COMMAND, SPEC
from cluster.object_names import JOB_ID as KEPT_ID
from raymill.job_record import JOB_ID
from raymill.spec import Spec
from tests.k8s.builds import Build, Object, label
from tests.k8s.pods import ONCE, SUBMITTER, Pod, pods


def lost_files(build: Build) -> list[str]:
    """Pods that hand a job over, or start one, without its spec where the command looks for it."""
    problems = []
    for pod in (pod for pod in pods(build.objects) if pod.role in (SUBMITTER, ONCE)):
        for folder, command in _commands(pod):
            path = posixpath.join(folder, next((word for word in command if word.endswith(".yaml")), "no spec"))
            problems += [f"{pod.where}: {said}" for said in _unreadable(build, pod, path)]
    return problems


def unlike_ids(build: Build) -> list[str]:
    """RayJobs that KubeRay and raymill know by different ids."""
    problems = []
    for each in build.of_kind("RayJob"):
        known = (_runtime(each).get("env_vars") or {}).get(JOB_ID)
        told = (each["metadata"].get("annotations") or {}).get(KEPT_ID)
        if told != known:
            problems.append(f"{label(each)}: its annotation {KEPT_ID} is {told}, its {JOB_ID} {known}")
        if not known or known != each["spec"].get("jobId"):
            problems.append(f"{label(each)}: its jobId is {each['spec'].get('jobId')}, its {JOB_ID} {known}")
    return problems


def unfindable(build: Build) -> list[str]:
    """Objects of a spec that `raymill logs`, `list` or `cancel` wouldn't find by their labels."""
    problems = []
    for each in build.of_kind("RayJob", "RayService", "CronJob"):
        wanted = (SPEC,) if each["kind"] == "RayService" else (SPEC, COMMAND)
        has = each["metadata"].get("labels") or {}
        problems += [f"{label(each)}: it has no label {key}" for key in wanted if not has.get(key)]
    return problems


def loose_schedules(build: Build) -> list[str]:
    """CronJobs that start a second job beside one that runs, or begin late; their own deadline hangs on the queue."""
    problems = []
    for each in build.of_kind("CronJob"):
        spec = each["spec"]
        job = spec["jobTemplate"]["spec"]
        if spec.get("concurrencyPolicy") != "Forbid":
            problems.append(f"{label(each)}: its concurrencyPolicy isn't Forbid")
        if job.get("backoffLimit") != 0 or job["template"]["spec"].get("restartPolicy") != "Never":
            problems.append(f"{label(each)}: a launcher that failed would be started again beside its job")
        wanted = [("startingDeadlineSeconds", spec), ("timeZone", spec)]
        problems += [f"{label(each)}: it has no {word}" for word, where in wanted if not where.get(word)]
        command = job["template"]["spec"]["containers"][0].get("command") or []
        if command[:1] != ["raymill"] or command[-2:] != ["--on", "k8s"]:
            problems.append(f"{label(each)}: it runs {command}, which starts no job in the cluster")
    return problems


def _commands(pod: Pod) -> Iterator[tuple[str, list[str]]]:
    """The folder in which a command runs, and its words."""
    if pod.role == SUBMITTER:
        yield str(_runtime(pod.owner).get("working_dir")), shlex.split(pod.owner["spec"].get("entrypoint") or "")
    elif pod.owner["kind"] == "CronJob":
        yield from ((str(each.get("workingDir")), each.get("command") or []) for each in pod.main)


def _runtime(job: Object) -> dict[str, Any]:
    return yaml.safe_load(job["spec"].get("runtimeEnvYAML") or "{}") or {}


def _unreadable(build: Build, pod: Pod, path: str) -> list[str]:
    mounts = {mount["mountPath"]: mount for each in pod.main for mount in each.get("volumeMounts") or ()}
    mount = mounts.get(path)
    if mount is None or not mount.get("subPath"):
        return [f"{path} isn't a file that is mounted by itself, and Ray would upload a link"]
    names = {v["name"]: (v.get("configMap") or {}).get("name") for v in pod.spec.get("volumes") or ()}
    maps = {each["metadata"]["name"]: each.get("data") or {} for each in build.there if each["kind"] == "ConfigMap"}
    text = maps.get(str(names.get(mount["name"])), {}).get(mount["subPath"])
    if text is None:
        return [f"{path} is in no ConfigMap"]
    try:
        Spec.model_validate(json.loads(text))
    except (ValidationError, ValueError) as error:
        return [f"{path} is no spec: {str(error)[:200]}"]
    return []
