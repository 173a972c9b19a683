"""Every overlay and component builds, and nothing in them stays unseen."""

from __future__ import annotations

from tests.k8s import builds, disruption, gateways, inventory, pods
from tests.k8s.builds import Build, problems


def test_there_are_overlays_and_components() -> None:
    assert {"overlays/local", "overlays/cpu", "overlays/gpu"} <= set(builds.overlays())
    wanted = {"gpu", "gcs-fault-tolerance", "kueue", "monitoring", "tls", "gateway"}
    assert {f"components/{name}" for name in wanted} <= set(builds.components())


def test_every_build_has_objects() -> None:
    assert problems(lambda build: [] if build.objects else ["nothing"]) == {}


def test_every_container_belongs_to_a_pod_that_is_checked() -> None:
    assert problems(unseen) == {}


def unseen(build: Build) -> list[str]:
    """Lists of containers that no pod template of ours is known to have."""
    missed = []
    for each in build.objects:
        seen = {id(container) for pod in pods.pods([each]) for container in pod.containers}
        for path, value in builds.walk(each):
            if path.endswith(("containers", "Containers")) and isinstance(value, list):
                missed += [f"{builds.label(each)}: {path}"] if {id(one) for one in value} - seen else []
    return missed


def test_every_build_has_what_its_folders_bring() -> None:
    assert problems(inventory.missing) == {}


def test_nothing_is_reached_from_outside_but_by_https() -> None:
    assert problems(inventory.public) == {}


def test_every_budget_keeps_something() -> None:
    assert problems(disruption.loose_budgets) == {}


def test_one_budget_keeps_each_head_with_a_driver_and_the_workers_of_each_endpoint() -> None:
    assert problems(disruption.unkept) == {}


def test_every_monitor_looks_at_something() -> None:
    assert problems(inventory.blind_monitors) == {}


def test_queues_share_and_preempt() -> None:
    assert problems(inventory.selfish_queues) == {}


def test_a_gateway_has_a_certificate_and_its_routes_lead_somewhere() -> None:
    assert problems(gateways.dead_ends) == {}


def test_what_a_gateways_controller_makes_is_let_in() -> None:
    assert problems(gateways.refused_proxies) == {}


def test_databases_ask_for_a_password_and_keep_what_they_hold() -> None:
    assert problems(inventory.open_databases) == {}


def test_mlflow_has_its_migration_its_database_from_a_secret_and_a_bucket() -> None:
    assert problems(inventory.bad_tracker) == {}


def test_every_yaml_file_is_part_of_a_build_or_an_example() -> None:
    files = {path for path in builds.K8S.rglob("*.yaml") if "examples" not in path.parts}
    named: set[object] = set()
    for path in (path for path in files if path.name == "kustomization.yaml"):
        for _, value in builds.walk(builds.documents(path.read_text(encoding="utf-8"))):
            if isinstance(value, str) and (path.parent / value.split("=")[-1]).is_file():
                named.add((path.parent / value.split("=")[-1]).resolve())
    roots = {path for path in files if path.name == "kustomization.yaml"}
    assert {path for path in files - roots if path.resolve() not in named} == set()
