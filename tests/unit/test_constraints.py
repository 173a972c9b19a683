"""What the image is built of: each package in one version, which is one that raymill takes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ASKED = [*PROJECT["dependencies"], *EXTRAS["examples"], *EXTRAS["k8s"]]


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("text", ASKED)
def test_what_raymill_asks_for_is_pinned_to_a_version_that_it_takes(text: str) -> None:
    asked = Requirement(text)
    assert pinned()[canonicalize_name(asked.name)] in asked.specifier


def test_each_package_is_named_once_and_in_order() -> None:
    names = [
        line.partition("==")[0]
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    assert names == sorted(set(names))
