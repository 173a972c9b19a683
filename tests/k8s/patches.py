"""Patches: how overlays and components change what they build on, without what kustomize does silently wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.k8s.builds import K8S, Object, documents, label

_LISTS = {"containers", "workerGroupSpecs", "initContainers", "volumes", "env"}


def list_replacing() -> list[str]:
    """Trap 10: strategic-merge patches of Ray's kinds, in which a list replaces the list that was there."""
    problems = []
    for file, patch in _patches():
        if isinstance(patch, dict) and str(patch.get("kind", "")).startswith("Ray") and _names_a_list(patch):
            problems.append(
                f"{file.relative_to(K8S)}: a strategic merge replaces lists of {label(patch)}; write JSON6902"
            )
    return problems


def _patches() -> Iterator[tuple[Path, Any]]:
    for file in sorted(K8S.rglob("kustomization.yaml")):
        for each in _kustomization(file).get("patches") or ():
            if "patch" in each:
                yield file, yaml.safe_load(each["patch"])
            else:
                yield from ((file.parent / each["path"], one) for one in yaml.safe_load_all(_text(file, each["path"])))


def _text(file: Path, path: str) -> str:
    return (file.parent / path).read_text(encoding="utf-8")


def _kustomization(file: Path) -> Object:
    [found] = documents(file.read_text(encoding="utf-8"))
    return found


def _names_a_list(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(_LISTS & set(value)) or any(map(_names_a_list, value.values()))
    return isinstance(value, list) and any(map(_names_a_list, value))
