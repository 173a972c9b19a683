"""Network: who may reach whom, worked out from the NetworkPolicies as a network plugin does.

A connection is let through when the egress rules of its source and the ingress rules of its target both allow it; a pod
that no policy selects for a direction is open in it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.k8s.builds import NAMESPACE, Build, Object
from tests.k8s.pods import HEAD, ONCE, STANDING, SUBMITTER, WORKER, Pod, pods

_NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class End:
    """One end of a connection: a pod of ours, a pod of another namespace, or an address outside."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = NAMESPACE
    space_labels: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        return self.namespace == NAMESPACE and self.address is None


OPERATOR = End(name="the operator", namespace="kuberay-operator", labels={"app.kubernetes.io/name": "kuberay-operator"})
PROMETHEUS = End(name="Prometheus", namespace="monitoring", labels={"app.kubernetes.io/name": "prometheus"})
DNS = End(name="DNS", namespace="kube-system", labels={"k8s-app": "kube-dns"})
DNS_ON_NODES = tuple(
    End(name="DNS", address=at, namespace="") for at in ("169.254.20.10", "172.20.0.10", "10.100.0.10")
)
DNS_OF_OPENSHIFT = End(name="OpenShift's DNS", namespace="openshift-dns", labels={"dns.operator.openshift.io/x": "y"})
API_SERVER = End(name="the API server", address="172.18.0.2", namespace="")
INTERNET = End(name="the internet", address="93.184.215.14", namespace="")
METADATA = End(name="the cloud's metadata service", address="169.254.169.254", namespace="")
POD_IDENTITY = End(name="EKS' agent for identities of pods", address="169.254.170.23", namespace="")
BY_IPV6 = {
    API_SERVER: End(name="the API server by IPv6", address="fd12:3456::2", namespace=""),
    INTERNET: End(name="the internet by IPv6", address="2606:2800:21f::1", namespace=""),
    METADATA: End(name="the metadata service by IPv6", address="fd00:ec2::254", namespace=""),
    POD_IDENTITY: End(name="EKS' agent by IPv6", address="fd00:ec2::23", namespace=""),
}
_GKE = End(name="GKE's metadata service", address="169.254.169.252", namespace="")
STRANGER = End(name="a stranger's pod", namespace="elsewhere", labels={"app": "stranger"})
ASKER = End(name="who may ask endpoints", namespace="shop", space_labels={"raymill/asks-endpoints": "yes"})
IMPOSTORS = tuple(
    End(name=f"another pod in {space}", namespace=space, labels={"app": "other"})
    for space in ("kuberay-operator", "monitoring")
)
NEIGHBOUR = End(name="an unknown pod in the namespace", labels={"app": "stranger"})

Flow = tuple[End, End, int, str]


def open_by_default(build: Build) -> list[str]:
    """Namespaces in which a pod that no other policy names may reach, and be reached."""
    if not build.is_whole:
        return []
    policies = [each["spec"] for each in build.of_kind("NetworkPolicy")]
    if {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} not in policies:
        return ["no policy denies both ways to all pods"]
    nobody = End(name="a pod that nobody has thought of", labels={})
    ways = {"Ingress": _allowed(build, STRANGER, nobody, 80), "Egress": _allowed(build, nobody, INTERNET, 443)}
    return [f"{nobody.name} is open to {way}" for way, is_open in ways.items() if is_open]


def cut_off(build: Build) -> list[str]:
    """Trap 7: connections that the system lives by and that no policy lets through."""
    return [_said("can't reach", *flow) for flow in needed(build) if not _allowed(build, *flow)]


def too_open(build: Build) -> list[str]:
    """Connections that nobody needs and that a policy lets through."""
    return [_said("can reach", *flow) for flow in unwanted(build) if _allowed(build, *flow)]


def needed(build: Build) -> Iterator[Flow]:
    """What has to be let through, to addresses of the old form and of the new."""
    for source, target, port, protocol in _needed(build):
        yield source, target, port, protocol
        if target in BY_IPV6:
            yield source, BY_IPV6[target], port, protocol


def _needed(build: Build) -> Iterator[Flow]:
    ends = _ends(build)
    heads, workers = ends[HEAD], ends[WORKER]
    for head in heads:
        yield from ((OPERATOR, head, 8265, "TCP"), (PROMETHEUS, head, 8080, "TCP"))
        yield from ((head, API_SERVER, port, "TCP") for port in (443, 6443))
        yield from ((submitter, head, 8265, "TCP") for submitter in ends[SUBMITTER])
        if head.labels.get("ray.io/serve"):
            yield OPERATOR, head, 8000, "TCP"
    asked = [(end, end.ports.get(name)) for end in (*heads, *workers) for name in ("serve", "grpc")]
    asking = (ASKER, *_proxies(build))
    yield from ((who, end, port, "TCP") for who in asking for end, port in asked if port and _takes_requests(end))
    for worker in workers:
        yield PROMETHEUS, worker, 8080, "TCP"
        for head in (head for head in heads if head.labels["ray.io/cluster"] == worker.labels["ray.io/cluster"]):
            yield from ((worker, head, port, "TCP") for port in (6379, 8265, 10012))
            yield from ((head, worker, 10012, "TCP"), (worker, worker, 10012, "TCP"))
    for end in (*heads, *workers, *ends[SUBMITTER], *ends[ONCE], *ends[STANDING]):
        for protocol in ("UDP", "TCP"):
            yield from ((end, dns, 53, protocol) for dns in (DNS, *DNS_ON_NODES))
            yield end, DNS_OF_OPENSHIFT, 5353, protocol
    for end in _launchers(ends):
        yield from ((end, API_SERVER, port, "TCP") for port in (443, 6443))
        yield from _to_the_store(end)
    yield from _needed_services(build, ends)
    for monitor in (each["spec"] for each in build.of_kind("PodMonitor")):
        for end in (end for end in (*heads, *workers) if selects(monitor["selector"], end.labels)):
            ports = [end.ports.get(str(each.get("port"))) for each in monitor["podMetricsEndpoints"]]
            yield from ((PROMETHEUS, end, port, "TCP") for port in ports if port)


def _takes_requests(end: End) -> bool:
    return bool(end.labels.get("ray.io/serve"))


def _proxies(build: Build) -> Iterator[End]:
    """What stands in the namespaces of Gateways, and brings requests to endpoints."""
    spaces = {e["metadata"]["name"]: e["metadata"].get("labels") or {} for e in build.there if e["kind"] == "Namespace"}
    for each in (each for each in build.there if each["kind"] == "Gateway"):
        space = each["metadata"]["namespace"]
        yield End(name=f"a proxy of the Gateway {space}", namespace=space, space_labels=spaces.get(space, {}))


def _needed_services(build: Build, ends: Mapping[str, Sequence[End]]) -> Iterator[Flow]:
    """Ray's nodes reach MLflow, MLflow its database, heads their Redis, and all of them the store."""
    tracker, database, redis = (_standing(build, port) for port in (5000, 5432, 6379))
    for end in (*ends[HEAD], *ends[WORKER]):
        if not end.labels.get("ray.io/serve"):  # a replica loads its bundle from the store alone
            yield from ((end, each, 5000, "TCP") for each in tracker)
        yield from _to_the_store(end)
    yield from ((each, other, 5432, "TCP") for each in tracker for other in database)
    yield from ((head, each, 6379, "TCP") for head in ends[HEAD] for each in redis)
    yield from (flow for each in tracker for flow in _to_the_store(each))


def _to_the_store(end: End) -> Iterator[Flow]:
    """A bucket's service, and who hands out what opens it."""
    yield from ((end, INTERNET, 443, "TCP"), (end, POD_IDENTITY, 80, "TCP"))


def unwanted(build: Build) -> Iterator[Flow]:
    """What nobody needs, to addresses of the old form and of the new."""
    for source, target, port, protocol in _unwanted(build):
        yield source, target, port, protocol
        if target in BY_IPV6:
            yield source, BY_IPV6[target], port, protocol


def _unwanted(build: Build) -> Iterator[Flow]:
    ends = _ends(build)
    tracker, database, redis = (_standing(build, port) for port in (5000, 5432, 6379))
    everybody = [end for found in ends.values() for end in found]
    yield from ((end, METADATA, port, "TCP") for end in everybody for port in (80, 8080))
    yield from ((end, _GKE, port, "TCP") for end in everybody for port in (987, 988))
    strangers_to_buckets = (*ends[SUBMITTER], *database, *redis)
    yield from ((end, to, port, "TCP") for end in strangers_to_buckets for to, port in _OF_BUCKETS)
    launchers = _launchers(ends)
    yield from ((end, each, 5000, "TCP") for end in (*launchers, *ends[SUBMITTER]) for each in tracker)
    yield from ((end, head, 8265, "TCP") for end in launchers for head in _heads_there(build))
    yield from ((end, INTERNET, port, "TCP") for end in everybody for port in (22, 53, 80, 25))
    yield from ((end, STRANGER, 8080, "TCP") for end in everybody)
    yield from ((mlflow, each, 22, "TCP") for mlflow in tracker for each in database)
    yield from ((end, each, 22, "TCP") for end in (*ends[HEAD], *ends[WORKER]) for each in (*tracker, *redis))
    yield from ((end, head, 6379, "TCP") for end in ends[SUBMITTER] for head in ends[HEAD])
    for stranger in (STRANGER, NEIGHBOUR, *IMPOSTORS):
        yield from ((stranger, end, port, "TCP") for end in (*ends[HEAD], *ends[WORKER]) for port in (8000, 9000))
        yield from ((stranger, head, port, "TCP") for head in ends[HEAD] for port in (6379, 8265, 10001, 10012, 52365))
        yield from ((stranger, worker, port, "TCP") for worker in ends[WORKER] for port in (10012, 52365, 8080))
        yield from ((stranger, each, 5000, "TCP") for each in tracker)
        yield from ((stranger, each, 5432, "TCP") for each in database)
        yield from ((stranger, each, 6379, "TCP") for each in redis)
    yield from ((PROMETHEUS, head, port, "TCP") for head in ends[HEAD] for port in (6379, 8265, 10001))
    yield from ((OPERATOR, head, port, "TCP") for head in ends[HEAD] for port in (6379, 10001))
    yield from ((worker, each, 5432, "TCP") for worker in ends[WORKER] for each in database)
    yield from ((worker, each, 6379, "TCP") for worker in ends[WORKER] for each in redis)
    yield from ((each, API_SERVER, 6443, "TCP") for each in (*database, *redis))


_OF_BUCKETS = ((INTERNET, 443), (POD_IDENTITY, 80))


def _launchers(ends: Mapping[str, Sequence[End]]) -> list[End]:
    return [end for end in ends[ONCE] if end.labels.get("app.kubernetes.io/component") == "launcher"]


def _heads_there(build: Build) -> list[End]:
    return [_end(pod) for pod in pods(build.there) if pod.role == HEAD]


def _said(how: str, source: End, target: End, port: int, protocol: str) -> str:
    return f"{source.name} {how} {target.name} at {protocol} {port}"


def _ends(build: Build) -> dict[str, list[End]]:
    found: dict[str, list[End]] = {role: [] for role in (HEAD, WORKER, SUBMITTER, ONCE, STANDING)}
    for pod in pods(build.objects):
        found[pod.role].append(_end(pod))
    return found


def _end(pod: Pod) -> End:
    ports = {
        port["name"]: port["containerPort"] for each in pod.main for port in each.get("ports") or () if "name" in port
    }
    return End(name=pod.where, labels=pod.labels, ports=ports)


def _standing(build: Build, port: int) -> list[End]:
    """The standing pods of a namespace that listen at a port, by what their containers say."""
    found = [pod for pod in pods(build.there) if pod.role == STANDING]
    return [_end(pod) for pod in found if port in {p["containerPort"] for c in pod.main for p in c.get("ports") or ()}]


def blocked(build: Build, source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    return not _allowed(build, source, target, port, protocol)


def _allowed(build: Build, source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    policies = [each["spec"] for each in build.there if each["kind"] == "NetworkPolicy"]
    out = not source.is_ours or _lets(policies, "Egress", source, target, port, protocol)
    return out and (not target.is_ours or _lets(policies, "Ingress", target, source, port, protocol))


def _lets(policies: Sequence[Object], way: str, here: End, there: End, port: int, protocol: str) -> bool:
    """Whether what selects `here` lets it have `there` as the other end."""
    about = [each for each in policies if way in _ways(each) and selects(each.get("podSelector"), here.labels)]
    rules = [rule for each in about for rule in each.get(way.lower()) or ()]
    asked = here if way == "Ingress" else there
    peers = "from" if way == "Ingress" else "to"
    return not about or any(
        _has_port(rule.get("ports"), asked, port, protocol) and _has_peer(rule.get(peers), there) for rule in rules
    )


def _ways(policy: Object) -> Sequence[str]:
    implied = ["Ingress", *(["Egress"] if "egress" in policy else [])]
    return policy.get("policyTypes") or implied


def _has_port(ports: Sequence[Any] | None, target: End, port: int, protocol: str) -> bool:
    return not ports or any(_is_port(each, target, port, protocol) for each in ports)


def _is_port(entry: dict[str, Any], target: End, port: int, protocol: str) -> bool:
    first = entry.get("port")
    number = target.ports.get(first) if isinstance(first, str) else first
    fits = first is None or (number is not None and number <= port <= entry.get("endPort", number))
    return bool(fits and entry.get("protocol", "TCP") == protocol)


def _has_peer(peers: Sequence[Any] | None, end: End) -> bool:
    return not peers or any(_is_peer(each, end) for each in peers)


def _is_peer(peer: dict[str, Any], end: End) -> bool:
    if "ipBlock" in peer:
        return end.address is not None and _in_block(peer["ipBlock"], end.address)
    if end.address is not None:
        return False
    by_namespace = "namespaceSelector" in peer
    of_space = {_NAME: end.namespace, **end.space_labels}
    within = selects(peer["namespaceSelector"], of_space) if by_namespace else end.is_ours
    return within and ("podSelector" not in peer or selects(peer["podSelector"], end.labels))


def _in_block(block: dict[str, Any], address: str) -> bool:
    at = ipaddress.ip_address(address)
    within = [at in ipaddress.ip_network(each) for each in (block["cidr"], *(block.get("except") or ()))]
    return within[0] and not any(within[1:])


def selects(selector: dict[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector picks what has these labels; an empty one picks all."""
    wanted = (selector or {}).get("matchLabels") or {}
    rules = (selector or {}).get("matchExpressions") or ()
    return all(labels.get(key) == value for key, value in wanted.items()) and all(_fits(rule, labels) for rule in rules)


def _fits(rule: dict[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(rule["key"]), rule.get("values") or ()
    match rule["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None
