"""From YAML text and `a.b=value` overrides to a `Spec`, once; every mistake names its file, line and key."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from raymill.errors import SpecError
from raymill.safety_spec import TlsSpec, TokensSpec
from raymill.section import Mistake
from raymill.spec import FeatureSpec, ServeSpec, Spec

Location = tuple[str, ...]
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
        raise SpecError("\n".join(_explain(error, places)), _REMEDY) from None
    return _resolve(spec, folder or Path.cwd())


def _resolve(spec: Spec, folder: Path) -> Spec:
    store = _beside(spec.store, folder)
    source = spec.data.source if spec.data.source.startswith("bundled:") else _beside(spec.data.source, folder)
    tracking = _tracking_beside(spec.tracking, folder) if spec.tracking else None
    if tracking is None:
        if "://" in store:
            raise SpecError(
                f"The store {store} is remote, so the tracker's SQLite file can't live in it.",
                "Write `tracking:` with the address of an MLflow server, or sqlite:///PATH.",
            )
        tracking = f"sqlite:///{store}/mlflow.db"
    data = spec.data.model_copy(update={"source": source})
    serve = _serve_beside(spec.serve, folder)
    return spec.model_copy(update={"store": store, "tracking": tracking, "data": data, "serve": serve})


def _serve_beside(serve: ServeSpec, folder: Path) -> ServeSpec:
    """An endpoint's section with the files that it names beside the spec, as every other path in one."""
    tokens, tls = serve.tokens, serve.tls
    if isinstance(tokens, TokensSpec) and tokens.file is not None:
        tokens = TokensSpec(file=_beside(tokens.file, folder))
    if tls is not None:
        tls = TlsSpec(certificate=_beside(tls.certificate, folder), key=_beside(tls.key, folder))
    return serve.model_copy(update={"tokens": tokens, "tls": tls})


def _tracking_beside(uri: str, folder: Path) -> str:
    scheme, separator, path = uri.partition("///")
    return f"sqlite:///{_beside(path, folder)}" if (scheme, separator) == ("sqlite:", "///") else uri


def _beside(path: str, folder: Path) -> str:
    if "://" in path:
        return path
    try:
        return str(folder / Path(path).expanduser())
    except RuntimeError:
        raise SpecError(
            f"The path {path} names the home folder of a user who is not on this machine.",
            f"Write the whole path, or ./{path} for a name that begins with a tilde.",
        ) from None


def _parse_yaml(text: str, name: str) -> tuple[dict[str, Any], Places]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"{name}{_yaml_problem(error)}.", _REMEDY) from None
    if not isinstance(root, yaml.MappingNode):
        raise SpecError(f"{name} holds no `key: value` lines.", "Write at least name, task and data.")
    places: Places = {(): f"{name}:{root.start_mark.line + 1}"}
    try:
        for location, node in _walk(root, (), name):
            places[location] = f"{name}:{node.start_mark.line + 1}"
    except RecursionError:
        raise SpecError(f"{name} is nested without an end.", "Take out the anchor (&) that holds itself.") from None
    return data, places


def _yaml_problem(error: yaml.YAMLError) -> str:
    """`:LINE: not YAML: what is wrong there`."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return (
        f":{mark.line + 1}: not YAML: {problem}" if mark and problem else f": not YAML: {' '.join(str(error).split())}"
    )


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
            yield (*at, str(index)), value
            yield from _walk(value, (*at, str(index)), name)


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
    for stale in [place for place in places if place[: len(keys)] == tuple(keys)]:
        del places[stale]
    places[tuple(keys)] = f"override {override}"


def _explain(error: ValidationError, places: Places) -> Iterator[str]:
    for mistake in error.errors(include_url=False):
        yield f"{_place(_key(mistake), places)}: {_sentence(mistake)}"


def _key(mistake: ErrorDetails) -> Location:
    """Where a mistake is, as the user wrote it: without pydantic's names for the arms of a union."""
    location = tuple(part for part in _parts(mistake) if not _is_arm(part))
    own = mistake.get("ctx", {}).get("error")
    if isinstance(own, Mistake):
        return (*location, *map(str, own.key))
    return (*location, "type") if mistake["type"] == "union_tag_invalid" else location


def _parts(mistake: ErrorDetails) -> Location:
    return tuple(map(str, mistake["loc"]))


def _sentence(mistake: ErrorDetails) -> str:
    location, found = _key(mistake), mistake["input"]
    key = ".".join(location) or "the spec"
    match mistake["type"]:
        case "extra_forbidden":
            return f"unknown key {key!r}; {_hint(location, _keys_at(_parts(mistake)[:-1]))}."
        case "missing":
            return f"{key!r} is missing."
        case "union_tag_invalid":
            known = [tag.strip("'<>") for tag in mistake["ctx"]["expected_tags"].split(", ")]
            tag = mistake["ctx"]["tag"].strip("<>")
            return f"{key} is {tag!r}; {_hint((tag,), [name for name in known if name != 'import'])}."
        case "value_error":
            return f"{key}: {mistake['ctx']['error']}."
        case "model_type" | "dict_type":
            return f"{key} should hold {', '.join(_keys_at(_parts(mistake)))} as `key: value`, found {_shown(found)}."
        case "string_pattern_mismatch":
            wanted = _field_at(_annotation_at(_parts(mistake)[:-1]), location[-1]).description
            return f"{key} should be {wanted}, found {_shown(found)}."
        case "tuple_type":
            return f"{key} should be a list, found {_shown(found)}."
        case "invalid_key":
            return f"the key {key} should be text; write it in quotes."
        case "string_type" if isinstance(found, int | float):
            return f"{key} should be text, found {_shown(found)}; write it in quotes."
    message = mistake["msg"].removeprefix("Input should ")
    return f"{key} should {message}, found {_shown(found)}."


def _hint(given: Location, known: list[str]) -> str:
    """The one key that was probably meant, here or elsewhere in the spec, and what is known here."""
    near = difflib.get_close_matches(given[-1], known, n=1)
    elsewhere = [path for path in _paths_of(given[-1]) if path != ".".join(given)]
    meant = near or (elsewhere if len(elsewhere) == 1 else [])
    return (f"did you mean {meant[0]!r}? " if meant else "") + f"known here: {', '.join(known)}"


def _paths_of(key: str, section: type[BaseModel] = Spec, above: str = "") -> list[str]:
    """Where in the spec there are keys of this name, as `train.optimizer.lr`."""
    found = []
    for name, field in section.model_fields.items():
        path = f"{above}{field.alias or name}"
        found += [path] if (field.alias or name) == key else []
        found += [p for inner in _sections_in(field.annotation) for p in _paths_of(key, inner, f"{path}.")]
    return found


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)


def _place(location: Location, places: Places) -> str:
    """The line of a location, or of the nearest section around it."""
    return next(places[location[:depth]] for depth in range(len(location), -1, -1) if location[:depth] in places)


def _is_arm(part: str) -> bool:
    return part.startswith("<") and part.endswith(">")


def _keys_at(location: Location) -> list[str]:
    """The keys of the section at a location; those of every arm where it is a union."""
    sections = _sections_in(_annotation_at(location))
    return sorted({field.alias or key for section in sections for key, field in section.model_fields.items()})


def _annotation_at(location: Location) -> Any:
    """The type that the spec gives to a location, which may go through the arms of unions."""
    annotation: Any = Spec
    for part in location:
        if _is_arm(part):
            annotation = next(arm for arm in typing.get_args(annotation) if Tag(part) in arm.__metadata__)
        else:
            annotation = _field_at(annotation, part).annotation
    return annotation


def _field_at(annotation: Any, key: str) -> FieldInfo:
    """A section's field by its key; in `features` a key that is no field is a column."""
    fields = {f.alias or name: f for section in _sections_in(annotation) for name, f in section.model_fields.items()}
    return fields.get(key, FieldInfo(annotation=FeatureSpec))


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for arm in typing.get_args(annotation) for section in _sections_in(arm)]
