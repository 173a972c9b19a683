"""The traps that no schema shows, each met once for real: what KubeRay does with what the API server takes."""

from __future__ import annotations

from tests.k8s import access, kuberay, naming
from tests.k8s.builds import Build


def test_traps_1_2_and_6_the_submitter_has_a_mode_that_exists_and_a_pod_that_is_let_in(build: Build) -> None:
    assert kuberay.bad_submissions(build) == []


def test_trap_3_every_cluster_asks_for_a_token(build: Build) -> None:
    assert kuberay.open_dashboards(build) == []


def test_trap_4_a_head_with_an_autoscaler_has_a_token_and_its_rights(build: Build) -> None:
    assert access.missing_tokens(build) == []


def test_trap_5_an_endpoint_is_upgraded_without_a_gap_and_no_node_takes_it_away(build: Build) -> None:
    assert kuberay.bad_endpoints(build) == []


def test_trap_6_a_job_ends_and_its_cluster_with_it(build: Build) -> None:
    assert kuberay.endless_jobs(build) == []


def test_no_alpha_feature_of_the_operator_is_needed(build: Build) -> None:
    if build.name not in ALPHA:
        assert kuberay.alpha_features(build) == []


ALPHA: set[str] = set()  # components that say in their kustomization which gate they need


def test_trap_8_no_user_work_lands_on_a_head_and_parameters_are_strings(build: Build) -> None:
    assert kuberay.working_heads(build) == []


def test_trap_8_the_autoscaler_is_the_second_and_nobody_fights_it(build: Build) -> None:
    assert kuberay.bad_autoscaling(build) == []


def test_workers_of_a_standing_cluster_shrink_to_nothing(build: Build) -> None:
    assert kuberay.idle_groups_that_stay(build) == []


def test_trap_11_names_leave_room_for_what_is_hung_on_them(build: Build) -> None:
    assert naming.long_names(build) == []


def test_trap_12_nodes_have_memory_shared_memory_and_cpus_that_count(build: Build) -> None:
    assert kuberay.small_nodes(build) == []


def test_a_job_names_one_cluster_and_the_cluster_nothing_that_is_for_a_standing_one(build: Build) -> None:
    assert kuberay.unclear_clusters(build) == []


def test_no_variable_is_set_that_is_kuberays_to_set(build: Build) -> None:
    assert kuberay.spoilt_environment(build) == []


def test_rays_pods_keep_the_labels_by_which_kuberays_services_find_them(build: Build) -> None:
    assert naming.relabelled(build) == []
