"""Schemas: whether the API server would take an object, under strict validation.

Core kinds against the oldest Kubernetes that we name and the newest whose schemas `kubernetes-validate` has; all others
against their CRDs. A kind that neither knows is a problem.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import jsonschema
from kubernetes_validate import utils as kubernetes
from referencing import Registry, Resource

from tests.k8s import crds
from tests.k8s.builds import Build, Object, label
from tests.k8s.cel import CelError, evaluate

OLDEST = "1.30"
_UNSEEN = {"external-secrets.io": "an example of a vault, of an operator whose CRDs nobody here has"}
_CORE = ("", "apps", "batch", "policy", "autoscaling", "rbac.authorization.k8s.io", "networking.k8s.io")
_CORE += ("admissionregistration.k8s.io", "scheduling.k8s.io", "storage.k8s.io", "coordination.k8s.io")


def is_core(each: Object) -> bool:
    return str(each["apiVersion"]).rpartition("/")[0] in _CORE


def _is_unseen(each: Object) -> bool:
    return str(each["apiVersion"]).rpartition("/")[0] in _UNSEEN


def core_problems(build: Build) -> list[str]:
    """What the API server says against the kinds that it has itself."""
    texts = [json.dumps(each, sort_keys=True) for each in build.objects if is_core(each)]
    return [problem for text in texts for version in versions() for problem in _core_problems(text, version)]


def custom_problems(build: Build, known: crds.Crds) -> list[str]:
    """What it says against kinds that CRDs define: their schemas, their keys of lists, and their CEL rules."""
    texts = [json.dumps(each, sort_keys=True) for each in build.objects if not is_core(each) and not _is_unseen(each)]
    return [problem for text in texts for problem in _custom_problems(text, known)]


@functools.cache
def versions() -> tuple[str, ...]:
    have = [v for v in kubernetes.all_versions() if tuple(map(int, v.split("."))) >= tuple(map(int, OLDEST.split(".")))]
    return (have[0], have[-1])


@functools.cache
def _core_problems(text: str, version: str) -> tuple[str, ...]:
    each = json.loads(text)
    validator = _validator(each["apiVersion"], each["kind"], version)
    if validator is None:
        return (f"{label(each)}: Kubernetes {version} has no {each['apiVersion']} {each['kind']}",)
    return tuple(_said(each, validator.iter_errors(each)))


@functools.cache
def _validator(api_version: str, kind: str, version: str) -> Any:
    place = f"kubernetes-json-schema/v{version}-local-strict"
    group, _, name = api_version.rpartition("/")
    short = f"{group.partition('.')[0]}-{name}" if group else name
    try:
        schema = kubernetes.schema_contents(f"{place}/{kind.lower()}-{short}.json", version)
    except FileNotFoundError:
        return None
    return jsonschema.Draft202012Validator(schema, registry=_definitions(place, version))


@functools.cache
def _definitions(place: str, version: str) -> Registry[Any]:
    definitions = Resource.from_contents(kubernetes.schema_contents(f"{place}/_definitions.json", version))
    made: Registry[Any] = definitions @ Registry()
    return made


def _said(each: Object, errors: Any) -> list[str]:
    deepest = [jsonschema.exceptions.best_match([error]) for error in errors]
    return [f"{label(each)}: {error.json_path.removeprefix('$.')}: {error.message[:300]}" for error in deepest if error]


@functools.cache
def _custom_problems(text: str, known: crds.Crds) -> tuple[str, ...]:
    each = json.loads(text)
    found = known.version(each["apiVersion"], each["kind"])
    if found is None:
        return (f"{label(each)}: no schema of {each['apiVersion']} {each['kind']}, so that nothing is known of it",)
    said = _said(each, _strict(known, each["apiVersion"], each["kind"]).iter_errors(each))
    if said:
        return tuple(said)  # rules are for what fits the schema
    return tuple(_rule_problems(each, found["schema"]) + _scope_problems(each, found["scope"]))


@functools.cache
def _strict(known: crds.Crds, api_version: str, kind: str) -> Any:
    found = known.version(api_version, kind)
    assert found is not None
    return jsonschema.Draft202012Validator(crds.strict(found["schema"]))


def _scope_problems(each: Object, scope: str) -> list[str]:
    has = "namespace" in each["metadata"]
    return [f"{label(each)}: it is {scope}, so that its namespace is an error"] if has and scope == "Cluster" else []


def _rule_problems(each: Object, schema: crds.Schema) -> list[str]:
    problems: list[str] = []

    def see(schema: crds.Schema, value: Any, path: str) -> None:
        problems.extend(f"{label(each)}: {path}: {said}" for said in _broken(schema, value))

    crds.visit(schema, crds.defaulted(schema, each), see)
    return problems


def _broken(schema: crds.Schema, value: Any) -> list[str]:
    said = [rule.get("message", rule["rule"]) for rule in _rules(schema) if not _holds(rule["rule"], value)]
    keys = schema.get("x-kubernetes-list-map-keys", ())
    kind = schema.get("x-kubernetes-list-type")
    if kind == "map" and isinstance(value, list):
        said += _twice([tuple(one.get(key) for key in keys) for one in value])
    if kind == "set" and isinstance(value, list):
        said += _twice([json.dumps(one, sort_keys=True) for one in value])
    return said


def _rules(schema: crds.Schema) -> list[crds.Schema]:
    """The rules for an object that is new: one that names `oldSelf` is for a change."""
    return [rule for rule in schema.get("x-kubernetes-validations", ()) if "oldSelf" not in rule["rule"]]


def _holds(rule: str, value: Any) -> bool:
    try:
        return evaluate(rule, self=value) is True
    except CelError as error:
        raise AssertionError(f"a CRD's rule can't be evaluated: {error}") from error


def _twice(keys: Sequence[Any]) -> list[str]:
    return [f"{key} is there twice" for key in dict.fromkeys(keys) if keys.count(key) > 1]
