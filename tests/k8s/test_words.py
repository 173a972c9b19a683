"""Commands can be typed, variables are read by somebody, and versions are the same everywhere."""

from __future__ import annotations

import re

import pytest

from cluster.exposure import require_guard_in_kubernetes
from cluster.grammar import SUBMITTED
from cluster.preflight import require_remote
from raymill.spec_text import load_spec
from tests.k8s import builds, commands, environment, versions
from tests.k8s.builds import problems
from tests.repo.house import ROOT


def test_every_command_in_a_manifest_can_be_run() -> None:
    assert problems(commands.bad_commands) == {}


def test_every_probe_asks_for_what_is_answered_without_a_token() -> None:
    assert problems(commands.unanswered) == {}


def test_every_command_in_the_readme_can_be_typed() -> None:
    assert commands.wrong_in_text(commands.readme()) == []


def test_an_example_in_the_readme_is_given_places_that_the_cluster_reaches() -> None:
    typed = [each for each in commands.of_examples(commands.readme()) if each.command in (*SUBMITTED, "k8s")]
    assert {each.command for each in typed} == {"run", "k8s"}
    for each in typed:
        spec = load_spec(ROOT / each.spec, each.overrides)
        require_remote(spec, "the cluster", {})
        require_guard_in_kubernetes(spec.serve)


MISSPELT = "jobs.trian"


@pytest.mark.parametrize(
    "argv",
    [
        ["raymill", "trian", "spec.yaml"],
        ["python", "-m", MISSPELT, "spec.yaml"],
        ["python", "-m", "jobs.train", "spec.yaml", "--jason"],
        ["bash", "-c", "ulimit -n 65536; ray stop --now"],
        ["ray", "start", "--num-cpu"],
        ["mlflow", "server", "--backend-uri", "x"],
        ["kubectl", "apply", "-k", "k8s/overlays/moon"],
    ],
)
def test_a_misspelt_command_is_found(argv: list[str]) -> None:
    assert commands.wrong(argv)


def test_every_variable_is_read_by_ray_or_raymill() -> None:
    assert problems(environment.unread) == {}


def test_a_misspelt_variable_is_found() -> None:
    known = ["RAY_SERVE_ENABLE_HA_PROXY", "RAYMILL_JOB_ID", "RAY_gcs_rpc_server_reconnect_timeout_s"]
    assert all(map(environment.is_read, known))
    assert not any(environment.is_read(name[:-1] + "X") for name in known)


def test_every_cluster_has_the_ray_of_the_wheel() -> None:
    assert problems(versions.other_rays) == {}


def test_every_image_of_raymill_has_the_version_of_the_project() -> None:
    assert problems(versions.other_raymills) == {}


def test_the_readme_names_no_other_version_of_the_image_or_of_python() -> None:
    text = commands.readme()
    assert set(re.findall(r"\braymill:(\d[\w.]*\w)", text)) <= {versions.project()}
    assert set(re.findall(r"\bpython(3\.\d+)\b", text)) == {versions.python_of_image()}


def test_the_readme_tells_of_every_overlay_and_component() -> None:
    text = commands.readme()
    assert [name for name in builds.overlays() if name not in text] == []
    assert [name for name in builds.components() if f"`{name.partition('/')[2]}`" not in text] == []


def test_the_readme_has_a_remedy_for_every_trap() -> None:
    remedies = " ".join(line.rpartition(" | ")[2] for line in commands.readme().splitlines() if line.startswith("|"))
    assert [word for word in REMEDIES if word not in remedies] == []


REMEDIES = (
    "a `submitterPodTemplate`",
    "can't run in a restricted namespace",
    "`authOptions: {mode: token}`",
    "`automountServiceAccountToken: true` for the head",
    "no `excludeHeadPodFromServeSvc`",
    "`shutdownAfterJobFinishes: true`",
    "`operator-to-heads`",
    '`num-cpus: "0"`',
    "`autoscalerOptions: {version: v2}`",
    "no `replicas`",
    "--server-side",
    "--validate=strict",
    "nameref.yaml",
    "JSON6902",
    "47 characters",
    "4 GiB",
    "`/dev/shm`",
    "a limit of cpu, or `num-cpus`",
)


def test_the_readme_names_services_that_are_there_or_that_kuberay_makes() -> None:
    found = set(re.findall(r"\bservice/([a-z0-9-]+)", commands.readme()))
    services = {each["metadata"]["name"] for each in builds.build("overlays/local").of_kind("Service")}
    assert {name for name in found - services if not name.endswith(("-head-svc", "-serve-svc"))} == set()
