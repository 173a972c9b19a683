from __future__ import annotations

from typing import Any

import pytest

from cluster.session import _connect, _require_plain_proxy, choose_address
from raymill.errors import MachineError, ResourceError

THERE = "10.0.0.1:6379"


def test_an_address_is_the_one_named_and_none_means_embedded() -> None:
    assert choose_address(None, {}) is None
    assert choose_address(THERE, {}) == THERE
    assert choose_address(THERE, {"RAY_ADDRESS": THERE}) == THERE
    assert choose_address(None, {"RAY_ADDRESS": "local"}) is None
    assert choose_address(None, {"RAY_ADDRESS": ""}) is None


def test_inside_a_submitted_ray_job_its_cluster_is_joined() -> None:
    assert choose_address(None, {"RAY_ADDRESS": THERE, "RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}) == THERE


@pytest.mark.parametrize(("join", "named"), [(None, THERE), (THERE, "local"), (THERE, "10.0.0.2:6379")])
def test_a_contradicting_ray_address_is_refused_by_name(join: str | None, named: str) -> None:
    with pytest.raises(ResourceError, match=f"RAY_ADDRESS is {named}"):
        choose_address(join, {"RAY_ADDRESS": named})


def test_a_cluster_whose_nodes_start_haproxy_carries_no_tls() -> None:
    cluster = {"RAY_ADDRESS": THERE, "RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}
    _require_plain_proxy({"RAY_SERVE_ENABLE_HA_PROXY": "1"})
    _require_plain_proxy(cluster)
    with pytest.raises(ResourceError, match="HAProxy in front of Ray Serve, which carries no TLS") as caught:
        _require_plain_proxy(cluster | {"RAY_SERVE_ENABLE_HA_PROXY": "1"})
    assert "RAY_SERVE_ENABLE_HA_PROXY=0" in caught.value.fix


def test_no_remedy_names_an_option_that_is_not_there() -> None:
    with pytest.raises(ResourceError) as caught:
        choose_address(None, {"RAY_ADDRESS": THERE})
    assert "--on" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "becomes"),
    [("The current node timed out during startup. This could happen because ...", MachineError), ("new", Exception)],
)
def test_a_ray_that_is_too_slow_to_start_is_the_machines_and_what_else_fails_is_not_hidden(
    said: str, becomes: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise Exception(said)

    monkeypatch.setattr("ray.init", fails)
    with pytest.raises(Exception) as caught:
        _connect(None, debug=False)
    assert type(caught.value) is becomes
