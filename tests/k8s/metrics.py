"""Metrics: what alert rules, recording rules and the dashboard ask Prometheus for is exported by somebody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.k8s import environment
from tests.k8s.builds import K8S, Build, Object, label
from tests.our_metrics import labels_of_exported

_NAME = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?![\w:])(\s*\()?")
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_OF_EVERY_POD = {"namespace", "pod", "instance", "ray_io_cluster", "SessionName"}
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan", "group_left", "group_right"}
# What the usual exporters of a cluster give, as far as our rules ask for it.
ELSEWHERE = re.compile(r"up|ALERTS|kube_\w+|container_\w+|node_\w+|DCGM_FI_\w+|kueue_\w+")
# Those of KubeRay's operator that our rules may ask for, by its `controllers/ray/metrics` at v1.7.0.
_OF_KUBERAY = {
    "kuberay_cluster_info": {"name", "namespace", "owner_kind", "uid"},
    "kuberay_job_info": {"name", "namespace", "uid"},
    "kuberay_job_deployment_status": {"name", "namespace", "uid", "deployment_status"},
    "kuberay_service_info": {"name", "namespace", "uid"},
    "kuberay_service_condition_ready": {"name", "namespace", "uid", "condition"},
}
_CHOSEN = re.compile(r"(\w+)\{([^}]*)\}")
_PERIODS = re.compile(r"\[[^\]]*\]")


def unexported(build: Build) -> list[str]:
    """Metrics that a rule asks for and that neither Ray, raymill, a rule nor a known exporter gives."""
    recorded = {rule["record"] for _, rule in _rules(build) if "record" in rule}
    problems = []
    for each, rule in _rules(build):
        for name in asked(rule["expr"]):
            known = name in recorded or name in _OF_KUBERAY or is_exported(name)
            if not known and not ELSEWHERE.fullmatch(name):
                problems.append(f"{label(each)}: {_called(rule)}: nobody exports {name}")
    return problems


def unlabelled(build: Build) -> list[str]:
    """Sums of our own metrics by labels that they haven't."""
    problems = []
    labels = {name: {*own, *_OF_EVERY_POD} for name, own in labels_of_exported().items()}
    for each, rule in _rules(build):
        names = asked(rule["expr"]) & set(labels)
        for by in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) if names else ():
            wrong = set(re.split(r",\s*", by)) - set.union(*(labels[name] for name in names))
            problems += [f"{label(each)}: {_called(rule)}: no {sorted(names)} has the label {one}" for one in wrong]
    return problems


def unchosen(build: Build) -> list[str]:
    """Metrics of ours and of KubeRay's that a rule chooses by a label which they haven't."""
    ours = {name: {*own, *_OF_EVERY_POD} for name, own in labels_of_exported().items()}
    problems = []
    for each, rule in _rules(build):
        for name, matchers in _CHOSEN.findall(rule["expr"]):
            asked_by = set(re.findall(r"(\w+)\s*(?:=|!)", _STRING.sub("", matchers)))
            wrong = asked_by - (ours | _OF_KUBERAY).get(name, asked_by)
            problems += [f"{label(each)}: {_called(rule)}: {name} has no label {one}" for one in sorted(wrong)]
    return problems


def unexplained(build: Build) -> list[str]:
    """Alerts that don't say how bad they are, what has happened and what to do, or that fire at a first glimpse."""
    problems = []
    for each, rule in ((each, rule) for each, rule in _rules(build) if "alert" in rule):
        missing = [] if (rule.get("labels") or {}).get("severity") else ["severity"]
        missing += [word for word in ("summary", "description") if not (rule.get("annotations") or {}).get(word)]
        problems += [f"{label(each)}: {_called(rule)}: it has no {word}" for word in missing]
    names = [_called(rule) for _, rule in _rules(build)]
    problems += [f"two rules are called {name}" for name in set(names) if names.count(name) > 1]
    return problems + [f"{label(e)}: {_called(r)}: brackets" for e, r in _rules(build) if not _is_balanced(r["expr"])]


def other_dashboards(build: Build) -> list[str]:
    """Dashboards in a ConfigMap that aren't the one in k8s/grafana, or that Grafana's sidecar wouldn't find."""
    problems = []
    for each in build.of_kind("ConfigMap"):
        boards = {key: text for key, text in (each.get("data") or {}).items() if key.endswith(".json")}
        for key, text in boards.items():
            file = K8S / "grafana" / key
            if not file.exists() or json.loads(file.read_text(encoding="utf-8")) != json.loads(text):
                problems.append(f"{label(each)}: {key} isn't k8s/grafana/{key}")
        if not boards and "grafana_dashboard" in (each["metadata"].get("labels") or {}):
            problems.append(f"{label(each)}: it holds no dashboard")
        if boards and (each["metadata"].get("labels") or {}).get("grafana_dashboard") != "1":
            problems.append(f"{label(each)}: it isn't labelled grafana_dashboard: '1'")
    return problems


def asked(expression: str) -> set[str]:
    """The metrics that a PromQL expression names."""
    text = _PERIODS.sub("", _GROUPING.sub(" ", _STRING.sub("", expression)))
    text = re.sub(r"\{[^}]*\}", " ", text)
    return {found[1] for found in _NAME.finditer(text) if not found[2] and found[1] not in _WORDS}


def is_exported(name: str) -> bool:
    """Whether raymill exports a metric, or Ray's source names it, without what Ray and Prometheus put around it."""
    if name in labels_of_exported():
        return True
    if name in environment.shown_by_ray():
        return True
    bare = re.sub(r"_(total|bucket|sum|count)$", "", name.removeprefix("ray_"))
    return name.startswith("ray_") and not name.startswith("ray_raymill_") and bare in environment.quoted_in_ray()


def _rules(build: Build) -> Iterator[tuple[Object, dict[str, Any]]]:
    for each in build.of_kind("PrometheusRule"):
        for group in each["spec"]["groups"]:
            yield from ((each, rule) for rule in group["rules"])


def _called(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule.get("record"))


def _is_balanced(expression: str) -> bool:
    text = _STRING.sub("", expression)
    return all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}"))
