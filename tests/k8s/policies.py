"""Policies: what our ValidatingAdmissionPolicies say of an object, worked out as the API server does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.k8s.builds import NAMESPACE, Build, Object, label
from tests.k8s.cel import CelError, evaluate
from tests.k8s.network import selects
from tests.k8s.pods import pods

_PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What one policy says against an object; `rule` is the place of what failed among its validations."""

    policy: str
    message: str
    rule: int = -1


def refusals(policies: Sequence[Object], each: Object, operation: str = "CREATE") -> list[Refusal]:
    """What the policies of a build, and their bindings, say of an object that is created in our namespace."""
    found = [one for one in policies if one["kind"] == "ValidatingAdmissionPolicy" and _is_about(one, each, operation)]
    return [refusal for one in found if _denies(policies, one) for refusal in _refusals(one, each, operation)]


def refused(build: Build) -> list[str]:
    """Objects of our own that our own policies refuse, and pods that come of them."""
    ours = [*build.objects, *_as_pods(build)]
    found = [(each, refusal) for each in ours for refusal in refusals(build.there, each)]
    return [f"{label(each)}: {refusal.policy} refuses it: {refusal.message}" for each, refusal in found]


def toothless(build: Build) -> list[str]:
    """Policies that nothing binds, that let pass what they fail on, or that don't say what to do."""
    problems = []
    for policy in build.of_kind("ValidatingAdmissionPolicy"):
        if not _denies(build.objects, policy):
            problems.append(f"{label(policy)}: no binding of it denies in the namespace {NAMESPACE}")
        bound = [b["spec"] for b in build.of_kind("ValidatingAdmissionPolicyBinding") if _binds(b, policy)]
        if not all((spec.get("matchResources") or {}).get("namespaceSelector") for spec in bound):
            problems.append(f"{label(policy)}: it judges the namespaces of others")
        if policy["spec"].get("failurePolicy", "Fail") != "Fail":
            problems.append(f"{label(policy)}: what it fails on passes")
        for rule in policy["spec"]["validations"]:
            if not (rule.get("message") or rule.get("messageExpression")):
                problems.append(f"{label(policy)}: {rule['expression']!r} has no message")
    return problems


def _is_about(policy: Object, each: Object, operation: str) -> bool:
    group, _, version = str(each["apiVersion"]).rpartition("/")
    plural = _PLURALS.get(each["kind"], f"{each['kind'].lower()}s")
    asked = ((group, "apiGroups"), (version, "apiVersions"), (plural, "resources"), (operation, "operations"))
    rules = policy["spec"]["matchConstraints"].get("resourceRules") or ()
    return any(all(value in rule[key] or "*" in rule[key] for value, key in asked) for rule in rules)


def _denies(objects: Sequence[Object], policy: Object) -> bool:
    """Whether a binding has the policy refuse what comes to our namespace."""
    spaces = [each for each in objects if each["kind"] == "Namespace" and each["metadata"]["name"] == NAMESPACE]
    labels = {"kubernetes.io/metadata.name": NAMESPACE, **((spaces or [{}])[0].get("metadata", {}).get("labels") or {})}
    bindings = [each["spec"] for each in objects if each["kind"] == "ValidatingAdmissionPolicyBinding"]
    own = [spec for spec in bindings if spec["policyName"] == policy["metadata"]["name"]]
    chosen = [(spec.get("matchResources") or {}).get("namespaceSelector") for spec in own if _is_deny(spec)]
    over = policy["spec"]["matchConstraints"].get("namespaceSelector")
    return selects(over, labels) and any(selects(selector, labels) for selector in chosen)


def _binds(binding: Object, policy: Object) -> bool:
    return bool(binding["spec"]["policyName"] == policy["metadata"]["name"])


def _is_deny(binding: dict[str, Any]) -> bool:
    return "Deny" in binding["validationActions"]


def _refusals(policy: Object, each: Object, operation: str) -> Iterator[Refusal]:
    name, spec = policy["metadata"]["name"], policy["spec"]
    known: dict[str, Any] = {"object": each, "oldObject": None, "request": _request(each, operation)}
    try:
        if not all(evaluate(one["expression"], **known) for one in spec.get("matchConditions") or ()):
            return
        known["variables"] = _variables(spec, known)
        for place, rule in enumerate(spec["validations"]):
            if evaluate(rule["expression"], **known) is not True:
                yield Refusal(policy=name, message=_message(rule, known), rule=place)
    except CelError as error:
        yield Refusal(policy=name, message=f"an expression failed: {error}")


def _variables(spec: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """The variables, in order; one that can't be had is missing, and an error only for who asks for it."""
    found: dict[str, Any] = {}
    for each in spec.get("variables") or ():
        try:
            found[each["name"]] = evaluate(each["expression"], **{**known, "variables": found})
        except CelError as error:
            if "doesn't compile" in str(error):
                raise
    return found


def _message(rule: dict[str, Any], known: dict[str, Any]) -> str:
    if "messageExpression" in rule:
        return str(evaluate(rule["messageExpression"], **known))
    return str(rule.get("message") or f"failed expression: {rule['expression']}")


def _request(each: Object, operation: str) -> dict[str, Any]:
    group, _, version = str(each["apiVersion"]).rpartition("/")
    kind = {"group": group, "version": version, "kind": each["kind"]}
    user = {"username": "somebody", "groups": ["system:authenticated"]}
    return {"operation": operation, "namespace": NAMESPACE, "kind": kind, "userInfo": user, "dryRun": False,
            "name": each["metadata"].get("name", "")}  # fmt: skip


def _as_pods(build: Build) -> Iterator[Object]:
    for pod in pods(build.objects):
        metadata = {"name": "pod", "namespace": NAMESPACE, "labels": dict(pod.labels)}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod.spec}
