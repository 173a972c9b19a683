"""Nobody may do more than they need, and no secret is written down."""

from __future__ import annotations

from tests.k8s import access
from tests.k8s.builds import problems


def test_tokens_are_mounted_only_where_they_are_used() -> None:
    assert problems(access.needless_tokens) == {}


def test_no_right_is_a_wildcard_or_a_power_over_rights() -> None:
    assert problems(access.wild_rights) == {}


def test_heads_may_scale_their_clusters_and_nothing_else() -> None:
    assert problems(access.wider_heads) == {}


def test_the_launcher_may_launch_and_nothing_else() -> None:
    assert problems(access.wider_launcher) == {}


def test_no_secret_is_an_argument_of_a_command() -> None:
    assert problems(access.secrets_in_arguments) == {}


def test_no_secret_is_written_in_clear() -> None:
    assert problems(access.secrets_in_clear) == {}
