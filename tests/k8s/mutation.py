"""Mutations: one thing in a good build is taken away or misspelt, to see that a check reports it.

Where a change is made is written as a path: `spec.workerGroupSpecs[0].replicas`, `env[name=RAY_x].name`,
`metadata.labels[app.kubernetes.io/name]`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.k8s import builds
from tests.k8s.builds import Build, Object, label

_STEP = re.compile(r"\[(\d+)\]|\[(\w+)=([^\]]+)\]|\[([\w/.-]+)\]|([^.\[\]]+)|\.")
_GONE: Any = object()
Edit = Callable[[list[Object]], None]
Check = Callable[[Build], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """What is changed, in the first build that has it, and the check that has to say so."""

    what: str
    of: str
    edit: Edit
    check: Check

    def problems(self) -> list[str]:
        """What the check says of the changed build."""
        build = of_build(self.of)
        objects = json.loads(json.dumps(build.objects))
        self.edit(objects)
        assert objects != list(build.objects), f"{self.what}: nothing was changed"
        return self.check(build.with_objects(objects))


def of_build(wanted: str) -> Build:
    """The build of a name, or the first that has such an object: all components, then what is rendered."""
    if wanted in builds.names():
        return builds.build(wanted)
    for name in (builds.ALL_COMPONENTS, *builds.renderings()):
        if any(_is(wanted, each) for each in builds.build(name).objects):
            return builds.build(name)
    raise AssertionError(f"No build has a {wanted}.")


def drop(wanted: str, path: str) -> Edit:
    return put(wanted, path, _GONE)


def put(wanted: str, path: str, value: Any) -> Edit:
    """Sets what is at a path of an object, or what a function makes of it."""

    def edit(objects: list[Object]) -> None:
        steps = [found for found in _STEP.finditer(path) if found[0] != "."]
        at: Any = next(each for each in objects if _is(wanted, each))
        for step in steps[:-1]:
            at = at[_key(at, step)]
        key = _key(at, steps[-1])
        if value is _GONE:
            del at[key]
        else:
            at[key] = value(at[key]) if callable(value) else copy.deepcopy(value)

    return edit


def rename(wanted: str, path: str, old: str, new: str) -> Edit:
    """Moves a key, as a misspelling does."""

    def edit(objects: list[Object]) -> None:
        put(wanted, path, lambda value: {new if key == old else key: below for key, below in value.items()})(objects)

    return edit


def remove(wanted: str) -> Edit:
    def edit(objects: list[Object]) -> None:
        objects[:] = [each for each in objects if not _is(wanted, each)]

    return edit


def add(*more: Object) -> Edit:
    return lambda objects: objects.extend(more)


def plus(*more: Any) -> Callable[[Sequence[Any] | None], list[Any]]:
    return lambda value: [*(value or ()), *more]


def _is(wanted: str, each: Object) -> bool:
    return wanted in (label(each), each["kind"])


def _key(at: Any, step: re.Match[str]) -> Any:
    if step[1] is not None:
        return int(step[1])
    if step[2] is not None:
        return next(index for index, each in enumerate(at) if str(each.get(step[2])) == step[3])
    return step[4] or step[5]
