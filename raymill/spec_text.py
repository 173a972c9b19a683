"""From YAML text and `a.b=value` overrides to a `Spec`, once; every mistake names its file, line and key."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from raymill.errors import SpecError
from raymill.spec import Spec

Location = tuple[str | int, ...]
Places = dict[Location, str]
_REMEDY = "Correct it; `raymill spec schema` prints every key, `raymill spec check SPEC` checks the file."


def load_spec(path: str | Path, overrides: Iterable[str] = ()) -> Spec:
    """Reads, checks and resolves a spec file: a relative store, tracker or source is beside the file.

    Raises SpecError with every mistake found, each with its line.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"Could not read the spec {file}: {error}.", "Name a YAML file that exists.") from error
    return parse_spec(text, str(file), overrides, folder=file.absolute().parent)


def parse_spec(text: str, name: str, overrides: Iterable[str] = (), folder: Path | None = None) -> Spec:
    """The spec that a text and its overrides mean; `name` is what errors call the text."""
    data, places = _parse_yaml(text, name)
    for override in overrides:
        _apply_override(data, places, override)
    try:
        spec = Spec.model_validate(data)
    except ValidationError as error:
        raise SpecError("\n".join(_explain(error, places, name)), _REMEDY) from None
    return _resolve(spec, folder or Path.cwd())


def _resolve(spec: Spec, folder: Path) -> Spec:
    store = _beside(spec.store, folder)
    source = spec.data.source if spec.data.source.startswith("bundled:") else _beside(spec.data.source, folder)
    tracking = spec.tracking
    if tracking is None:
        if "://" in store:
            raise SpecError(
                f"The store {store} is remote, so the tracker's SQLite file can't live in it.",
                "Write `tracking:` with the address of an MLflow server, or sqlite:///PATH.",
            )
        tracking = f"sqlite:///{store}/mlflow.db"
    data = spec.data.model_copy(update={"source": source})
    return spec.model_copy(update={"store": store, "tracking": tracking, "data": data})


def _beside(path: str, folder: Path) -> str:
    return path if "://" in path else str(folder / Path(path).expanduser())


def _parse_yaml(text: str, name: str) -> tuple[dict[str, Any], Places]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"{name} is not YAML: {' '.join(str(error).split())}.", _REMEDY) from None
    if not isinstance(root, yaml.MappingNode):
        raise SpecError(f"{name} holds no `key: value` lines.", "Write at least name, task and data.")
    places: Places = {}
    for location, node in _walk(root, (), name):
        places[location] = f"{name}:{node.start_mark.line + 1}"
    return data, places


def _walk(node: yaml.Node, at: Location, name: str) -> Iterator[tuple[Location, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise SpecError(f"{name}:{line}: {key.value!r} is written twice.", "Keep one of them.")
            seen.add(key.value)
            yield (*at, key.value), key
            yield from _walk(value, (*at, key.value), name)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*at, index), value
            yield from _walk(value, (*at, index), name)


def _apply_override(data: dict[str, Any], places: Places, override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise SpecError(f"The override {override!r} is not KEY=VALUE.", "Write for example train.epochs=5.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SpecError(f"The value of the override {override!r} is not YAML.", "Quote it.") from None
    inner = data
    for depth, key in enumerate(keys[:-1]):
        if not isinstance(inner.get(key), dict):
            inner[key] = {}
        inner = inner[key]
        places[tuple(keys[: depth + 1])] = f"override {override}"
    inner[keys[-1]] = value
    places[tuple(keys)] = f"override {override}"


def _explain(error: ValidationError, places: Places, name: str) -> Iterator[str]:
    for mistake in _without_other_union_arms(error):
        location = tuple(mistake["loc"])
        known = tuple(part for part in location if not _is_union_arm(part))
        key = ".".join(map(str, known)) or "the spec"
        yield f"{_place(known, places, name)}: {_sentence(mistake, key, location)}"


def _sentence(mistake: Any, key: str, location: Location) -> str:
    if mistake["type"] == "extra_forbidden":
        allowed = _keys_at(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), allowed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown key {key!r}; {hint}known here: {', '.join(allowed)}."
    if mistake["type"] == "missing":
        return f"{key!r} is missing."
    message = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "value_error":
        return f"{key}: {message}."
    return f"{key}: {message[0].lower()}{message[1:]}, found {mistake['input']!r}."


def _place(location: Location, places: Places, name: str) -> str:
    for depth in range(len(location), 0, -1):
        if location[:depth] in places:
            return places[location[:depth]]
    return name


def _is_union_arm(part: str | int) -> bool:
    return isinstance(part, str) and (part.endswith(("Spec", "]")) or part in {"str", "int", "Threshold"})


def _without_other_union_arms(error: ValidationError) -> list[Any]:
    """Of a union's arms only the mistakes of the arm that fits best, which is the one with the fewest."""
    arms: dict[Location, dict[str | int, list[Any]]] = {}
    kept = []
    for mistake in error.errors(include_url=False):
        location = tuple(mistake["loc"])
        at = next((i for i, part in enumerate(location) if _is_union_arm(part)), None)
        if at is None:
            kept.append(mistake)
        else:
            arms.setdefault(location[:at], {}).setdefault(location[at], []).append(mistake)
    for choices in arms.values():
        kept.extend(min(choices.values(), key=_misfit))
    return kept


def _misfit(mistakes: list[Any]) -> tuple[int, int]:
    wrong_kind = sum(m["type"] in {"literal_error", "missing", "model_type", "string_type"} for m in mistakes)
    return wrong_kind, len(mistakes)


def _keys_at(location: Location) -> list[str]:
    """The keys that the spec knows in the section at a location, union arms included."""
    sections: list[type[BaseModel]] = [Spec]
    for part in location:
        if _is_union_arm(part):
            sections = [s for s in sections if s.__name__ == part] or sections
            continue
        fields = [s.model_fields[str(part)] for s in sections if str(part) in s.model_fields]
        sections = [model for field in fields for model in _models_in(field.annotation)]
    return sorted({field.alias or key for s in sections for key, field in s.model_fields.items()})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return [model for arm in typing.get_args(annotation) for model in _models_in(arm)]
    return []
