"""CRDs: the schemas of Ray's, Kueue's, the Gateway API's, cert-manager's and Prometheus' kinds, made strict.

They are not part of this repository. They lie where RAYMILL_KUBERAY says, else in `../shared/kuberay` beside it.
A schema here gives the API server's verdict under `--validate=strict`: a field that a CRD doesn't list is an error,
and one that has a default is not required.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.repo.house import ROOT

Schema = dict[str, Any]
_PLACE = "RAYMILL_KUBERAY"
INSTALL = 'kubectl apply --server-side -k "github.com/ray-project/kuberay/ray-operator/config/crd?ref=v1.7.0"'
_KEPT = ("type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
_KEPT += ("minProperties", "maxProperties", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems")


def folder() -> Path | None:
    """Where the CRDs are, or None."""
    found = Path(os.environ.get(_PLACE) or ROOT.parent / "shared" / "kuberay")
    return found if found.is_dir() else None


def how_to_get_them() -> str:
    return (
        f"no CRDs at {_PLACE} or ../shared/kuberay: the Ray, Kueue, Gateway and Prometheus objects are unchecked. "
        f"On a cluster, `{INSTALL}` installs KubeRay's, and `kubectl get crd NAME -o yaml` prints one to keep there."
    )


class Crds:
    """The CRDs of a folder, by group and kind; a version's schema is read from YAML once and kept as JSON."""

    def __init__(self, folder: Path, kept: Path) -> None:
        self._kept = kept
        self._files = {_key_of(path): path for path in sorted(folder.rglob("*.yaml")) if _key_of(path)}

    @functools.cache  # noqa: B019  one per session
    def version(self, api_version: str, kind: str) -> Schema | None:
        """The version of a CRD that the API server serves under that name, with its scope, or None."""
        group, _, name = api_version.rpartition("/")
        path = self._files.get((group, kind))
        if path is None:
            return None
        crd = self._read(path)
        found = [each for each in crd["versions"] if each["name"] == name and each["served"]]
        return {"scope": crd["scope"], "schema": found[0]["schema"]["openAPIV3Schema"]} if found else None

    def _read(self, path: Path) -> Schema:
        text = path.read_bytes()
        kept = self._kept / f"{path.stem}-{hashlib.sha256(text).hexdigest()[:12]}.json"
        if kept.exists():
            return dict(json.loads(kept.read_text(encoding="utf-8")))
        spec: Schema = yaml.load(text, Loader=yaml.CSafeLoader)["spec"]
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(spec), encoding="utf-8")
        partial.rename(kept)
        return spec


def _key_of(path: Path) -> tuple[str, str] | None:
    """The group and kind of the CRD in a file, from its first lines that say so."""
    found: dict[str, str] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            for word in ("group", "kind"):
                if line.startswith((f"  {word}: ", f"    {word}: ")):
                    found.setdefault(word, line.split(": ", 1)[1].strip())
            if len(found) == 2:
                return found["group"], found["kind"]
    return None


def strict(schema: Schema) -> Schema:
    """A JSON Schema that refuses what the API server refuses of an object of that CRD."""
    closed = _closed(schema)
    names = {name: {"type": "string"} for name in ("name", "generateName", "namespace")}
    words = {name: {"type": "object", "additionalProperties": {"type": "string"}} for name in ("labels", "annotations")}
    more = {"finalizers": {"type": "array", "items": {"type": "string"}}}
    metadata = {"type": "object", "properties": {**names, **words, **more}, "additionalProperties": False}
    closed["properties"] = {**closed["properties"], "metadata": metadata}
    closed["properties"].pop("status", None)
    closed["required"] = sorted({*closed.get("required", ()), "apiVersion", "kind", "metadata"})
    return closed


def _closed(schema: Schema) -> Schema:
    if schema.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string", **_only(schema, "pattern")}]}
    made = _only(schema, *_KEPT)
    if schema.get("nullable"):
        made["type"] = [schema["type"], "null"]
    if "properties" in schema:
        made["properties"] = {name: _closed(below) for name, below in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _closed(schema["additionalProperties"])
    if "items" in schema:
        made["items"] = _closed(schema["items"])
    for word in ("allOf", "anyOf", "oneOf"):
        if word in schema:
            made[word] = [_constraint(each) for each in schema[word]]
    if "not" in schema:
        made["not"] = _constraint(schema["not"])
    if required := [name for name in schema.get("required", ()) if "default" not in schema["properties"].get(name, {})]:
        made["required"] = required
    return made


def _constraint(schema: Schema) -> Schema:
    """A part of a junctor: it only narrows what stands beside it, and closes nothing."""
    made = _only(schema, *_KEPT, "required")
    made |= (
        {"properties": {k: _constraint(v) for k, v in schema["properties"].items()}} if "properties" in schema else {}
    )
    made |= {word: [_constraint(x) for x in schema[word]] for word in ("allOf", "anyOf", "oneOf") if word in schema}
    made |= {word: _constraint(schema[word]) for word in ("not", "items") if word in schema}
    return made


def _only(schema: Schema, *words: str) -> Schema:
    return {word: schema[word] for word in words if word in schema}


def defaulted(schema: Schema, value: Any) -> Any:
    """A value with the defaults of its schema, as the API server stores it and CEL rules see it."""
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        filled = {name: below["default"] for name, below in known.items() if "default" in below and name not in value}
        return {k: defaulted(known.get(k, {}), v) for k, v in {**value, **filled}.items()}
    if isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        return {k: defaulted(schema["additionalProperties"], v) for k, v in value.items()}
    if isinstance(value, list) and "items" in schema:
        return [defaulted(schema["items"], each) for each in value]
    return value


def visit(schema: Schema, value: Any, see: Callable[[Schema, Any, str], None], path: str = "") -> None:
    """Shows `see` each value that is there, with its schema and its path."""
    see(schema, value, path or "object")
    if isinstance(value, dict):
        for name, below in value.items():
            inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if isinstance(inner, dict):
                visit(inner, below, see, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and "items" in schema:
        for index, below in enumerate(value):
            visit(schema["items"], below, see, f"{path}[{index}]")
