"""Environment: every variable named like one of Ray's or ours is one that Ray or raymill reads."""

from __future__ import annotations

import functools
import importlib.util
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

from tests.k8s.builds import Build, label, walk
from tests.repo.house import all_modules

OURS = re.compile(r"(RAY|RAYMILL)_\w+")
_TOKEN = re.compile(r"\bRAY(?:MILL)?_\w+")


def unread(build: Build) -> list[str]:
    """Variables that nobody reads."""
    problems = []
    for each in build.objects:
        for path, name in _names(each):
            if OURS.fullmatch(name) and not is_read(name):
                problems.append(f"{label(each)}: {path}: neither Ray nor raymill reads {name}")
    return problems


@functools.cache
def is_read(name: str) -> bool:
    """Whether Ray's or our source names a variable, or it is a setting of Ray's core, which puts RAY_ before them."""
    if name in (_in_raymill() if name.startswith("RAYMILL_") else _in_ray()):
        return True
    return name.startswith("RAY_") and _is_of_core(name.removeprefix("RAY_"))


@functools.cache
def _in_ray() -> frozenset[str]:
    texts = (path.read_text("utf-8", "replace") for path in _ray().rglob("*.py"))
    return frozenset(token for text in texts for token in _TOKEN.findall(text))


@functools.cache
def _in_raymill() -> frozenset[str]:
    return frozenset(token for module in all_modules() for token in _TOKEN.findall(module.path.read_text("utf-8")))


def _is_of_core(setting: str) -> bool:
    wanted = re.compile(rb"(?<![\w])" + re.escape(setting.encode()) + rb"(?![\w])")
    core = _ray() / "core" / "src" / "ray" / "raylet" / "raylet"
    with core.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
        return wanted.search(program) is not None


def _ray() -> Path:
    found = importlib.util.find_spec("ray")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def _names(each: object) -> Iterator[tuple[str, str]]:
    """The names of variables in an object: of containers, of runtime environments, and keys of ConfigMaps."""
    for path, value in walk(each):
        if isinstance(value, dict):
            if path.endswith("]") and isinstance(value.get("name"), str) and ({"value", "valueFrom"} & set(value)):
                yield path, value["name"]
            yield from ((path, key) for key in value if OURS.fullmatch(str(key)))
        elif isinstance(value, str) and path.endswith(("runtimeEnvYAML", "serveConfigV2")):
            yield from ((path, name) for name in _TOKEN.findall(value))
