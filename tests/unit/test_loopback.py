from __future__ import annotations

import pytest
from ray._private import ray_constants
from ray._private.services import canonicalize_bootstrap_address, get_node_ip_address

from cluster.loopback import on_loopback


@pytest.mark.parametrize("address", [None, "127.0.0.1:6379", "[::1]:6379"])
def test_an_embedded_ray_starts_and_is_joined_on_loopback(address: str | None) -> None:
    before = ray_constants.ENABLE_RAY_CLUSTER
    with on_loopback(address):
        assert get_node_ip_address() == "127.0.0.1"
        assert canonicalize_bootstrap_address("127.0.0.1:6379") == "127.0.0.1:6379"
    assert ray_constants.ENABLE_RAY_CLUSTER is before


@pytest.mark.parametrize("address", ["10.0.0.1:6379", "head:6379", "[fd00::1]:6379", "ray://h:1"])
def test_a_cluster_is_joined_as_ever(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    with on_loopback(address):
        assert ray_constants.ENABLE_RAY_CLUSTER is True
