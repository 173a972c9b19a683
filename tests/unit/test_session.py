from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from cluster.session import (
    _PLAIN_PROXY,
    _connect,
    _data_logging,
    _environment,
    _own,
    _require_plain_proxy,
    _set_up_data_logging,
    _settings,
    choose_address,
)
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


def test_with_tls_the_plain_proxy_is_started_whatever_the_users_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    with _environment(_settings(needs_serve=True, debug=False), _PLAIN_PROXY):
        assert os.environ["RAY_SERVE_ENABLE_HA_PROXY"] == os.environ["RAY_SERVE_ENABLE_DIRECT_INGRESS"] == "0"


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


def test_a_users_setting_wins_but_a_sessions_own_does_not_leak_into_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIRS", "theirs")
    monkeypatch.setenv("OWN", "another session's")
    monkeypatch.delenv("OURS", raising=False)
    with _environment({"THEIRS": "ours", "OURS": "ours"}, {"OWN": "this session's"}):
        assert [os.environ[name] for name in ("THEIRS", "OURS", "OWN")] == ["theirs", "ours", "this session's"]
    assert (os.environ["OWN"], os.environ.get("OURS")) == ("another session's", None)


def test_two_sessions_share_no_port_and_no_file(tmp_path: Path) -> None:
    one, two = (_own(tmp_path / name, debug=True) for name in "ab")
    assert not set(one.values()) & set(two.values())


def test_a_proxys_socket_fits_into_the_108_bytes_of_a_unix_path() -> None:
    node_id, temporary = "f" * 56, ".1234567.tmp"
    assert len(f"/tmp/rm-12345678/{node_id}/admin.sock{temporary}") < 108


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


def test_ray_data_opens_no_log_for_a_pass_however_early_it_was_imported(tmp_path: Path) -> None:
    import ray.data  # noqa: F401 - as by `python -m jobs.evaluate`, by which it logs all that it does

    logger = logging.getLogger("ray.data")
    with _environment({}, {"RAY_DATA_LOGGING_CONFIG": _data_logging(tmp_path)}):
        _set_up_data_logging()
    assert logger.isEnabledFor(logging.ERROR) and not logger.isEnabledFor(logging.WARNING)
    _set_up_data_logging()
    assert logger.isEnabledFor(logging.DEBUG)
