"""Objects as YAML text that `kubectl apply -f -` takes and a person can read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml


class _Readable(yaml.SafeDumper):
    """Writes a text of several lines as it stands, and equal parts as often as they are there."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)


def as_yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    """One document for each object, keys in their order."""
    return yaml.dump_all(objects, Dumper=_Readable, sort_keys=False, allow_unicode=True, explicit_start=True, width=120)
