"""Environment: every variable named like one of Ray's, MLflow's, boto's or ours is one that they read."""

from __future__ import annotations

import functools
import importlib.util
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

from tests.k8s.builds import Build, label, walk
from tests.repo.house import PACKAGES, ROOT

_IN_A_WORD = re.compile(rb"\w")
NAMED = re.compile(r"(RAY|RAYMILL|MLFLOW|AWS)_\w+")


def unread(build: Build) -> list[str]:
    """Variables that nobody reads."""
    problems = []
    for each in build.objects:
        for path, name in _names(each):
            if NAMED.fullmatch(name) and not is_read(name):
                problems.append(f"{label(each)}: {path}: nobody reads {name}")
    return problems


@functools.cache
def is_read(name: str) -> bool:
    """Whether a source names a variable, or it is a setting of Ray's core, which puts RAY_ before them."""
    owner = name.partition("_")[0]
    if owner == "AWS":  # our own reads AWS_REGION, which boto doesn't
        return name in _named(_package("botocore"), owner) or name in _named(ROOT / "raymill", owner)
    if owner == "RAYMILL":
        return any(name in _named(ROOT / package, owner) for package in PACKAGES)
    package = _package(owner.lower())
    return name in _named(package, owner) or (owner == "RAY" and _is_of_core(package, name.removeprefix("RAY_")))


@functools.cache
def _named(package: Path, owner: str) -> frozenset[str]:
    """All variables of an owner that a package's source names."""
    token = re.compile(owner.encode() + rb"_\w+")  # no \b before it: the literal start is what makes the search fast
    return frozenset(found.decode() for path in package.rglob("*.py") for found in token.findall(path.read_bytes()))


@functools.cache
def quoted_in_ray() -> frozenset[str]:
    """Every lower-case name in quotation marks in the source of Ray's agents and of Serve, where metrics are named."""
    folders = [_package("ray") / name for name in ("dashboard", "serve", "_private")]
    texts = (path.read_bytes() for folder in folders for path in folder.rglob("*.py"))
    return frozenset(found.decode() for text in texts for found in re.findall(rb"\"([a-z]+_[a-z0-9_]+)\"", text))


@functools.cache
def shown_by_ray() -> frozenset[str]:
    """Every metric that one of Ray's own dashboards asks for; the names of some are put together when it runs."""
    folder = _package("ray") / "dashboard" / "modules" / "metrics" / "dashboards"
    texts = (path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    return frozenset(found for text in texts for found in re.findall(r"\bray_\w+", text))


def _is_of_core(ray: Path, setting: str) -> bool:
    word, core = setting.encode(), ray / "core" / "src" / "ray" / "raylet" / "raylet"
    with core.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
        at = program.find(word)
        while at >= 0 and _IN_A_WORD.search(program[at - 1 : at] + program[at + len(word) : at + len(word) + 1]):
            at = program.find(word, at + 1)
        return at >= 0


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def _names(each: object) -> Iterator[tuple[str, str]]:
    """The names of variables in an object: of containers, of runtime environments, and keys of ConfigMaps."""
    for path, value in walk(each):
        if isinstance(value, dict):
            if path.endswith("]") and isinstance(value.get("name"), str) and ({"value", "valueFrom"} & set(value)):
                yield path, value["name"]
            yield from ((path, key) for key in value if NAMED.fullmatch(str(key)))
        elif isinstance(value, str) and path.endswith(("runtimeEnvYAML", "serveConfigV2")):
            yield from ((path, found[0]) for found in re.finditer(rf"\b{NAMED.pattern}", value))
