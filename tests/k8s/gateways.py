"""Gateways: who comes in by one gets to a model, and what its controller makes is let in where it stands."""

from __future__ import annotations

from collections.abc import Iterator

from tests.k8s.builds import NAMESPACE, Build, Object, label
from tests.k8s.network import selects

_NAME = "kubernetes.io/metadata.name"


def dead_ends(build: Build) -> list[str]:
    """Gateways and routes without a name, a certificate or somewhere to go, or that don't find each other."""
    of_gateways = [f"{label(each)}: {said}" for each in build.of_kind("Gateway") for said in _of_gateway(each, build)]
    routes = build.of_kind("HTTPRoute", "GRPCRoute")
    return of_gateways + [f"{label(each)}: {said}" for each in routes for said in _of_route(each, build)]


def refused_proxies(build: Build) -> list[str]:
    """Gateways in the namespace of the models: Istio and NGINX Gateway Fabric make a Deployment and a Service there.

    Its quota has no room for a Service that is reached from outside, its pod security none for Istio's proxies, and its
    policies let neither speak.
    """
    return [f"{label(each)}: its proxies come to {NAMESPACE}" for each in build.of_kind("Gateway") if _space(each)]


def _space(gateway: Object) -> bool:
    return bool(gateway["metadata"].get("namespace") == NAMESPACE)


def _of_gateway(gateway: Object, build: Build) -> Iterator[str]:
    space = gateway["metadata"].get("namespace")
    if not any(each["metadata"]["name"] == space for each in build.there if each["kind"] == "Namespace"):
        yield f"there is no namespace {space}"
    hosts = {
        each["spec"]["secretName"]: each["spec"].get("dnsNames") or []
        for each in build.of_kind("Certificate")
        if each["metadata"].get("namespace") == space
    }
    for listener in gateway["spec"]["listeners"]:
        names = [ref["name"] for ref in (listener.get("tls") or {}).get("certificateRefs") or ()]
        if not any(listener.get("hostname") in hosts.get(name, ()) for name in names):
            yield f"no certificate in {space} is for the host of its listener {listener['name']}"


def _of_route(route: Object, build: Build) -> Iterator[str]:
    spec, space = route["spec"], route["metadata"].get("namespace")
    rules = spec.get("rules") or ()
    if not (rules and all(rule.get("backendRefs") and rule.get("matches") for rule in rules) and spec.get("hostnames")):
        yield "it lacks a host, a path or a Service"
    if not spec.get("parentRefs"):
        yield "it lacks a Gateway"
    for parent in spec.get("parentRefs") or ():
        if not any(_takes(each, parent, str(space)) for each in build.of_kind("Gateway")):
            yield f"no Gateway takes it: {parent}"
    away = [ref["name"] for rule in rules for ref in rule.get("backendRefs") or () if "namespace" in ref]
    yield from (f"the Service {name} is another namespace's, which takes a ReferenceGrant" for name in away)


def _takes(gateway: Object, parent: Object, space: str) -> bool:
    """Whether a Gateway is the one that a route of a namespace names, and lets routes of that namespace attach."""
    metadata, listeners = gateway["metadata"], gateway["spec"]["listeners"]
    if (metadata.get("namespace"), metadata["name"]) != (parent.get("namespace", space), parent["name"]):
        return False
    meant = [each for each in listeners if parent.get("sectionName") in (None, each["name"])]
    return any(_lets(listener, metadata.get("namespace") == space, {_NAME: space}) for listener in meant)


def _lets(listener: Object, at_home: bool, labels: dict[str, str]) -> bool:
    allowed = (listener.get("allowedRoutes") or {}).get("namespaces") or {}
    match allowed.get("from", "Same"):
        case "All":
            return True
        case "Selector":
            return bool(allowed.get("selector")) and selects(allowed["selector"], labels)
        case _:
            return at_home
