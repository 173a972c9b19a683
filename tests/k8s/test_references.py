"""What is named is there."""

from __future__ import annotations

from tests.k8s import builds, handing_over, naming, patches, quota, references, settings
from tests.k8s.builds import problems


def test_every_config_secret_claim_and_account_is_there_or_made_by_the_user() -> None:
    assert problems(references.dangling) == {}


def test_whoever_needs_the_store_gets_its_place_and_its_keys() -> None:
    assert problems(references.storeless) == {}


def test_a_job_and_a_schedule_find_their_spec_where_they_look_for_it() -> None:
    assert problems(handing_over.lost_files) == {}


def test_kuberay_and_raymill_know_a_job_by_the_same_id() -> None:
    assert problems(handing_over.unlike_ids) == {}


def test_what_is_of_a_spec_is_found_by_its_labels() -> None:
    assert problems(handing_over.unfindable) == {}


def test_a_schedule_starts_one_job_at_a_time_and_once() -> None:
    assert problems(handing_over.loose_schedules) == {}


def test_every_key_that_is_asked_for_is_there() -> None:
    assert problems(references.missing_keys) == {}


def test_every_mount_has_a_volume_and_every_volume_a_mount() -> None:
    assert problems(references.unmounted) == {}


def test_services_budgets_and_monitors_select_pods() -> None:
    assert problems(references.lonely_selectors) == {}


def test_every_port_that_is_asked_is_open() -> None:
    assert problems(references.closed_ports) == {}


def test_bindings_queues_and_policies_bind_what_is_there() -> None:
    assert problems(references.unbound) == {}


def test_trap_10_what_kustomize_renames_is_renamed_where_rays_pods_use_it() -> None:
    build = builds.prefixed("mine-")
    made = {each["metadata"]["name"] for each in build.of_kind("ConfigMap", "ServiceAccount")}
    assert all(name.startswith("mine-") for name in made)
    assert {said for said in references.dangling(build) if "there is no Secret" not in said} == set()


def test_trap_10_no_patch_replaces_a_list_of_rays_kinds() -> None:
    assert patches.list_replacing() == []


def test_everything_is_in_one_namespace_and_there_once() -> None:
    assert problems(naming.misplaced) == {}


def test_what_belongs_to_the_whole_cluster_is_called_after_us() -> None:
    assert problems(naming.common_names) == {}


def test_everything_is_found_by_the_common_labels() -> None:
    assert problems(naming.unlabelled) == {}


def test_what_stands_fits_into_the_quota() -> None:
    assert problems(quota.over_quota) == {}


def test_every_container_fits_into_the_limits_of_the_namespace() -> None:
    assert problems(quota.out_of_range) == {}


def test_the_settings_of_jobs_are_those_that_are_read() -> None:
    assert problems(settings.bad_settings) == {}
