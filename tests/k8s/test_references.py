"""What is named is there."""

from __future__ import annotations

from tests.k8s import naming, quota, references, settings
from tests.k8s.builds import Build


def test_every_config_secret_claim_and_account_is_there_or_made_by_the_user(build: Build) -> None:
    assert references.dangling(build) == []


def test_every_key_that_is_asked_for_is_there(build: Build) -> None:
    assert references.missing_keys(build) == []


def test_every_mount_has_a_volume_and_every_volume_a_mount(build: Build) -> None:
    assert references.unmounted(build) == []


def test_services_budgets_and_monitors_select_pods(build: Build) -> None:
    assert references.lonely_selectors(build) == []


def test_every_port_that_is_asked_is_open(build: Build) -> None:
    assert references.closed_ports(build) == []


def test_bindings_queues_and_policies_bind_what_is_there(build: Build) -> None:
    assert references.unbound(build) == []


def test_everything_is_in_one_namespace_and_there_once(build: Build) -> None:
    assert naming.misplaced(build) == []


def test_everything_is_found_by_the_common_labels(build: Build) -> None:
    assert naming.unlabelled(build) == []


def test_what_stands_fits_into_the_quota(build: Build) -> None:
    assert quota.over_quota(build) == []


def test_every_container_fits_into_the_limits_of_the_namespace(build: Build) -> None:
    assert quota.out_of_range(build) == []


def test_the_settings_of_jobs_are_those_that_are_read(build: Build) -> None:
    assert settings.bad_settings(build) == []
