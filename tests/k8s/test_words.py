"""Commands can be typed, variables are read by somebody, and versions are the same everywhere."""

from __future__ import annotations

import re

import pytest

from tests.k8s import commands, environment, references, versions
from tests.k8s.builds import problems


def test_every_command_in_a_manifest_can_be_run() -> None:
    assert problems(commands.bad_commands) == {}


def test_every_command_in_the_readme_can_be_typed() -> None:
    assert commands.wrong_in_text(commands.readme()) == []


@pytest.mark.parametrize(
    "argv",
    [
        ["raymill", "trian", "spec.yaml"],
        ["python", "-m", "jobs.trian", "spec.yaml"],
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


def test_the_readme_names_no_other_version_of_the_image_or_of_ray() -> None:
    text = commands.readme()
    assert set(re.findall(r"\braymill:(\d[\w.]*\w)", text)) <= {versions.project()}
    assert references.made_by_the_user()
