"""The network is closed, and what the system lives by is let through."""

from __future__ import annotations

from typing import Any

from tests.k8s import network
from tests.k8s.builds import Build, problems
from tests.k8s.network import End


def test_what_nobody_has_named_reaches_nothing_and_is_reached_by_nobody() -> None:
    assert problems(network.open_by_default) == {}


def test_trap_7_operator_prometheus_dns_and_api_server_are_let_through() -> None:
    assert problems(network.cut_off) == {}


def test_no_stranger_reaches_ray_the_tracker_or_a_database() -> None:
    assert problems(network.too_open) == {}


def policies(*specs: dict[str, Any]) -> Build:
    made = [{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {}, "spec": s} for s in specs]
    return Build(name="policies", objects=tuple(made))


SERVER = End(name="server", labels={"app": "server"}, ports={"web": 8080})
CLIENT = End(name="client", labels={"app": "client"})
DENY = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
OUT = {"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"], "egress": [{}]}


def into(**rule: Any) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [rule]}


def lets(*specs: dict[str, Any], source: End = CLIENT, target: End = SERVER, port: int = 8080) -> bool:
    return not network.blocked(policies(*specs), source, target, port)


def test_a_pod_that_no_policy_selects_is_open() -> None:
    assert lets()
    assert not lets(DENY)


def test_both_ends_have_to_allow_a_connection() -> None:
    from_client = into(**{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]})
    assert not lets(DENY, from_client)
    assert not lets(DENY, OUT)
    assert lets(DENY, OUT, from_client)


def test_ports_are_numbers_names_or_ranges() -> None:
    for ports, is_open in (
        ([{"port": 8080}], True),
        ([{"port": "web"}], True),
        ([{"port": "other"}], False),
        ([{"port": 8000, "endPort": 8100}], True),
        ([{"port": 8080, "protocol": "UDP"}], False),
        ([{"port": 9090}], False),
    ):
        assert lets(DENY, OUT, into(ports=ports)) is is_open


def test_a_selector_of_pods_alone_means_our_own_namespace() -> None:
    stranger = End(name="stranger", namespace="elsewhere", labels={"app": "client"})
    by_pod = {"podSelector": {"matchLabels": {"app": "client"}}}
    by_space = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}}
    assert not lets(into(**{"from": [by_pod]}), source=stranger)
    assert lets(into(**{"from": [by_space]}), source=stranger)
    assert lets(into(**{"from": [{**by_space, **by_pod}]}), source=stranger)


def test_a_block_of_addresses_has_exceptions() -> None:
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}
    out = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [block]}]}
    assert lets(out, target=network.INTERNET, port=443)
    assert not lets(out, target=network.METADATA, port=80)
    assert not lets(out)
