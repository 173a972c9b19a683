"""Versions: Ray's, Python's and raymill's own are the same wherever they are written."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.k8s.builds import K8S, Build, label
from tests.k8s.pods import pods, ray_specs
from tests.repo.house import ROOT

DOCKERFILE = K8S / "image" / "Dockerfile"
_OWN = re.compile(r"(?:.*/)?raymill:(?P<tag>[^@]+)")
_ARGUMENT = re.compile(r"^ARG (\w+)=(\S+)$", re.MULTILINE)


def project() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def range_of_ray() -> SpecifierSet:
    """The versions of Ray that the wheel takes."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [Requirement(text) for text in settings["dependencies"]]
    return next(each.specifier for each in found if each.name == "ray")


def other_rays(build: Build) -> list[str]:
    """Clusters of another Ray than the wheel asks for."""
    problems = []
    for each, spec in ray_specs(build.objects):
        said = spec.get("rayVersion")
        if said is None or said not in range_of_ray():
            problems.append(f"{label(each)}: its rayVersion is {said}, the wheel asks for ray{range_of_ray()}")
        elif said != importlib.metadata.version("ray"):
            problems.append(f"{label(each)}: its rayVersion is {said}, tested is {importlib.metadata.version('ray')}")
    return problems


def other_raymills(build: Build) -> list[str]:
    """Images of raymill in another version than the project's."""
    problems = []
    for pod in pods(build.objects):
        for container in pod.containers:
            found = _OWN.fullmatch(str(container.get("image")))
            if found and found["tag"] != project():
                problems.append(f"{pod.named(container)}: its raymill is {found['tag']}, the project's is {project()}")
    return problems


def python_of_image() -> str:
    """As 3.11."""
    found = re.search(r"^ARG PYTHON=python:(\d+\.\d+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, "the Dockerfile doesn't say ARG PYTHON=python:3.x"
    return found[1]


def home_of_image() -> str:
    found = re.search(r"\bHOME=(\S+)", DOCKERFILE.read_text(encoding="utf-8"))
    assert found, "the Dockerfile sets no HOME"
    return found[1]


def arguments() -> dict[str, str]:
    """The build arguments of the Dockerfile that have a value."""
    return dict(_ARGUMENT.findall(DOCKERFILE.read_text(encoding="utf-8")))
