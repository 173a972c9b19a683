"""The settings of an overlay are read strictly."""

from __future__ import annotations

import pytest

from cluster.job_settings import JobSettings
from raymill.errors import ResourceError
from tests.ray_clusters import SETTINGS, settings, settings_map


def test_texts_become_numbers_once() -> None:
    read = settings(ttl_s="0", queue="team-a")
    assert (read.deadline_s, read.ttl_s, read.wait_s, read.queue) == (7200, 0, 600, "team-a")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("deadline_s", "2h", "deadline_s: whole seconds are wanted, as '3600', not '2h'"),
        ("deadline_s", "0", "deadline_s: Input should be greater than 0"),
        ("wait_s", "-5", "wait_s: whole seconds"),
        ("ttl_s", "1.5", "ttl_s: whole seconds"),
        ("ttl_s", "", "ttl_s: whole seconds"),
        ("queue", "Team A", "queue: String should match pattern"),
        ("launcher_service_account", "", "launcher_service_account: String should match"),
        ("dead_line_s", "5", "dead_line_s: Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_named_with_its_key(key: str, value: str, said: str) -> None:
    with pytest.raises(ResourceError, match="The ConfigMap raymill-jobs of here can't be used") as caught:
        settings(**{key: value})
    assert said in caught.value.what
    assert "deadline_s, ttl_s, wait_s, queue, launcher_service_account, gateway_class" in caught.value.fix


@pytest.mark.parametrize("key", SETTINGS)
def test_no_key_may_be_missing(key: str) -> None:
    whole = settings_map()
    del whole["data"][key]
    with pytest.raises(ResourceError, match=f"{key}: Field required"):
        JobSettings.of(whole, "here")
