"""Every pod that comes of a manifest is one that a careful administrator lets in."""

from __future__ import annotations

import pytest

from tests.k8s import builds, containers, pod_security, quantities
from tests.k8s.builds import problems


def test_every_pod_meets_pod_security_restricted() -> None:
    assert problems(pod_security.unrestricted) == {}


def test_the_namespace_enforces_restricted_and_warns_of_less() -> None:
    assert problems(pod_security.unguarded_namespaces) == {}


def test_every_root_file_system_is_read_only_and_there_is_a_place_to_write() -> None:
    assert problems(containers.writable_roots) == {}


def test_every_image_is_pinned() -> None:
    assert problems(containers.moving_images) == {}


@pytest.mark.parametrize("name", [name for name in builds.overlays() if name != "overlays/local"])
def test_production_overlays_name_the_images_of_others_by_digest(name: str) -> None:
    assert containers.undigested_images(builds.build(name)) == []


def test_every_container_requests_and_is_limited_with_memory_equal() -> None:
    assert problems(containers.unbounded) == {}


def test_whatever_runs_for_long_is_asked_whether_it_lives_and_is_ready() -> None:
    assert problems(containers.unprobed) == {}


def test_probes_ask_something_and_bear_with_a_loaded_head() -> None:
    assert problems(containers.bad_probes) == {}


def test_every_scratch_volume_is_bounded() -> None:
    assert problems(containers.unbounded_scratch) == {}


def test_no_pod_gets_variables_of_services() -> None:
    assert problems(containers.service_links) == {}


def test_nothing_is_named_twice_in_a_container() -> None:
    assert problems(containers.said_twice) == {}


def test_every_claim_has_a_size() -> None:
    assert problems(containers.unsized_claims) == {}


def test_replicas_are_spread_over_nodes() -> None:
    assert problems(containers.unspread) == {}


def test_rays_nodes_are_drained_before_they_end() -> None:
    assert problems(containers.undrained) == {}


def test_quantities_are_read_as_kubernetes_reads_them() -> None:
    assert quantities.number("500m") == 0.5
    assert quantities.number("4Gi") == 4 * 1024**3
    assert quantities.number("1e3") == quantities.number("1k") == 1000
    with pytest.raises(ValueError, match="no quantity"):
        quantities.number("4GB")
