"""Names in Kubernetes: short enough, valid, and different for what is different."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from cluster.object_names import endpoint_name, job_name, schedule_name, service_name
from cluster.ray_template import CLUSTER
from raymill.job_record import COMMANDS, new_id

LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
NOW = datetime(2026, 11, 26, tzinfo=UTC)
SPECS = ("a", "1a", "flight-delays", "x" * 40, "9" * 40, f"a{'-b' * 19}")


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_job_is_found_by_its_id_under_a_name_that_kuberay_takes(name: str, command: str) -> None:
    id = new_id(name, command, NOW)
    assert job_name(id) == job_name(id)
    assert LABEL.fullmatch(job_name(id)) and len(job_name(id)) <= 47
    assert LABEL.fullmatch(schedule_name(name, command)) and len(schedule_name(name, command)) <= 52


@pytest.mark.parametrize("name", SPECS)
def test_an_endpoint_and_its_service_have_names_that_kuberay_does_not_cut(name: str) -> None:
    assert LABEL.fullmatch(endpoint_name(name)) and len(endpoint_name(name)) <= 40
    assert service_name(name) == f"{endpoint_name(name)}-serve-svc"
    assert len(service_name(name)) <= 50


def test_what_is_cut_short_stays_apart() -> None:
    ids = [f"{'x' * 40}-train-20261126-000000-{i:04x}" for i in range(50)]
    assert len(set(map(job_name, ids))) == 50
    assert endpoint_name("1a") != endpoint_name("n1a")


def test_an_endpoint_never_has_the_name_of_the_standing_cluster_whose_services_it_would_take() -> None:
    assert endpoint_name(CLUSTER) != CLUSTER
    assert LABEL.fullmatch(endpoint_name(CLUSTER))


def test_a_name_that_fits_is_left_as_it_is() -> None:
    assert job_name("far-train-20261126-000000-00ff") == "far-train-20261126-000000-00ff"
    assert endpoint_name("flight-delays") == "flight-delays"
