"""Nobody may do more than they need, and no secret is written down."""

from __future__ import annotations

from tests.k8s import access
from tests.k8s.builds import Build


def test_tokens_are_mounted_only_where_they_are_used(build: Build) -> None:
    assert access.needless_tokens(build) == []


def test_no_right_is_a_wildcard_or_a_power_over_rights(build: Build) -> None:
    assert access.wild_rights(build) == []


def test_the_launcher_may_launch_and_nothing_else(build: Build) -> None:
    assert access.wider_launcher(build) == []


def test_no_secret_is_written_in_clear(build: Build) -> None:
    assert access.secrets_in_clear(build) == []
