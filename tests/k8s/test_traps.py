"""The traps that no schema shows, each met once for real: what KubeRay does with what the API server takes."""

from __future__ import annotations

from tests.k8s import access, endpoints, jobs, kuberay, naming
from tests.k8s.builds import problems


def test_traps_1_2_and_6_the_submitter_has_a_mode_that_exists_and_a_pod_that_is_let_in() -> None:
    assert problems(jobs.bad_submissions) == {}


def test_trap_3_every_cluster_asks_for_a_token() -> None:
    assert problems(kuberay.open_dashboards) == {}


def test_trap_4_a_head_with_an_autoscaler_has_a_token_and_its_rights() -> None:
    assert problems(access.missing_tokens) == {}


def test_trap_5_an_endpoint_is_upgraded_without_a_gap_and_no_node_takes_it_away() -> None:
    assert problems(endpoints.bad_endpoints) == {}


def test_an_endpoint_has_an_application_of_ours_two_replicas_on_two_nodes_and_its_proxy_on_each() -> None:
    assert problems(endpoints.unservable) == {}


def test_the_head_of_an_endpoint_comes_back_with_what_it_knew_and_that_of_a_job_keeps_nothing() -> None:
    assert problems(endpoints.forgetful) == {}
    assert problems(jobs.useless_state) == {}


def test_every_node_sets_what_serve_needs_on_it() -> None:
    assert problems(endpoints.unsettled) == {}


def test_trap_6_a_job_ends_and_its_cluster_with_it() -> None:
    assert problems(jobs.endless_jobs) == {}


def test_no_alpha_feature_of_the_operator_is_needed_but_by_components_that_say_so() -> None:
    assert problems(kuberay.alpha_features) == {}


def test_trap_8_no_user_work_lands_on_a_head_and_parameters_are_strings() -> None:
    assert problems(kuberay.working_heads) == {}


def test_trap_8_the_autoscaler_is_the_second_and_nobody_fights_it() -> None:
    assert problems(kuberay.bad_autoscaling) == {}


def test_workers_of_a_standing_cluster_shrink_to_nothing() -> None:
    assert problems(kuberay.idle_groups_that_stay) == {}


def test_trap_11_names_leave_room_for_what_is_hung_on_them() -> None:
    assert problems(naming.long_names) == {}


def test_trap_12_nodes_have_memory_shared_memory_and_cpus_that_count() -> None:
    assert problems(kuberay.small_nodes) == {}


def test_a_job_names_one_cluster_and_the_cluster_nothing_that_is_for_a_standing_one() -> None:
    assert problems(jobs.unclear_clusters) == {}


def test_no_variable_is_set_that_is_kuberays_to_set() -> None:
    assert problems(kuberay.spoilt_environment) == {}


def test_rays_pods_keep_the_labels_by_which_kuberays_services_find_them() -> None:
    assert problems(naming.relabelled) == {}


def test_a_job_in_a_queue_is_one_that_kueue_admits() -> None:
    assert problems(jobs.unfit_for_queues) == {}
