"""Every pod that comes of a manifest is one that a careful administrator lets in."""

from __future__ import annotations

import pytest

from tests.k8s import builds, containers, pod_security, quantities
from tests.k8s.builds import Build


def test_every_pod_meets_pod_security_restricted(build: Build) -> None:
    assert pod_security.unrestricted(build) == []


def test_the_namespace_enforces_restricted_and_warns_of_less(build: Build) -> None:
    assert pod_security.unguarded_namespaces(build) == []


def test_every_root_file_system_is_read_only_and_there_is_a_place_to_write(build: Build) -> None:
    assert containers.writable_roots(build) == []


def test_every_image_is_pinned(build: Build) -> None:
    assert containers.moving_images(build) == []


@pytest.mark.parametrize("name", [name for name in builds.overlays() if name != "overlays/local"])
def test_production_overlays_name_the_images_of_others_by_digest(name: str) -> None:
    assert containers.undigested_images(builds.build(name)) == []


def test_every_container_requests_and_is_limited_with_memory_equal(build: Build) -> None:
    assert containers.unbounded(build) == []


def test_whatever_runs_for_long_is_asked_whether_it_lives_and_is_ready(build: Build) -> None:
    assert containers.unprobed(build) == []


def test_every_scratch_volume_is_bounded(build: Build) -> None:
    assert containers.unbounded_scratch(build) == []


def test_nothing_is_named_twice_in_a_container(build: Build) -> None:
    assert containers.said_twice(build) == []


def test_replicas_are_spread_over_nodes(build: Build) -> None:
    assert containers.unspread(build) == []


def test_rays_nodes_are_drained_before_they_end(build: Build) -> None:
    assert containers.undrained(build) == []


def test_quantities_are_read_as_kubernetes_reads_them() -> None:
    assert quantities.number("500m") == 0.5
    assert quantities.number("4Gi") == 4 * 1024**3
    assert quantities.number("1e3") == quantities.number("1k") == 1000
    with pytest.raises(ValueError, match="no quantity"):
        quantities.number("4GB")
