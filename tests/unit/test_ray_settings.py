"""Ray's settings: whose win, and what is a session's own."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from cluster.ray_settings import PLAIN_PROXY, in_environment, own_settings, read_data_logging, settings


def test_with_tls_the_plain_proxy_is_started_whatever_the_users_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    with in_environment(settings(needs_serve=True, debug=False), PLAIN_PROXY):
        assert os.environ["RAY_SERVE_ENABLE_HA_PROXY"] == os.environ["RAY_SERVE_ENABLE_DIRECT_INGRESS"] == "0"


def test_a_users_setting_wins_but_a_sessions_own_does_not_leak_into_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIRS", "theirs")
    monkeypatch.setenv("OWN", "another session's")
    monkeypatch.delenv("OURS", raising=False)
    with in_environment({"THEIRS": "ours", "OURS": "ours"}, {"OWN": "this session's"}):
        assert [os.environ[name] for name in ("THEIRS", "OURS", "OWN")] == ["theirs", "ours", "this session's"]
    assert (os.environ["OWN"], os.environ.get("OURS")) == ("another session's", None)


def test_two_sessions_share_no_port_and_no_file(tmp_path: Path) -> None:
    one, two = (own_settings(tmp_path / name, debug=True) for name in "ab")
    assert not set(one.values()) & set(two.values())


def test_a_proxys_socket_fits_into_the_108_bytes_of_a_unix_path() -> None:
    node_id, temporary = "f" * 56, ".1234567.tmp"
    assert len(f"/tmp/rm-12345678/{node_id}/admin.sock{temporary}") < 108


def test_ray_data_opens_no_log_for_a_pass_however_early_it_was_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray.data  # noqa: F401 - as by `python -m jobs.evaluate`, by which it logs all that it does

    monkeypatch.delenv("RAY_DATA_LOGGING_CONFIG", raising=False)  # a session of other tests may be open
    logger = logging.getLogger("ray.data")
    with in_environment({}, own_settings(tmp_path, debug=False)):
        read_data_logging()
    assert logger.isEnabledFor(logging.ERROR) and not logger.isEnabledFor(logging.WARNING)
    read_data_logging()
    assert logger.isEnabledFor(logging.DEBUG)
