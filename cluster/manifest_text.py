"""Objects as YAML text that `kubectl apply -f -` and KubeRay take and a person can read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

# What Go's YAML reads as a number or a yes or no, and Python's, which quotes what it would misread itself, as a text.
# Source: `resolve.go` of go-yaml v2, which reads over underlines.
_MISREAD = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?0[xXbBoO][0-9a-fA-F]+|[yYnN]")


class _Readable(yaml.SafeDumper):
    """Writes a text of several lines as it stands, in quotes what could be none, equal parts as often as they are."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else "'" if _MISREAD.fullmatch(text.replace("_", "")) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Readable.add_representer(str, _text)


def as_yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    """One document for each object, keys in their order."""
    return yaml.dump_all(objects, Dumper=_Readable, sort_keys=False, allow_unicode=True, explicit_start=True, width=120)


def as_text(value: Any) -> str:
    """A value as the text of a field that holds YAML."""
    text: str = yaml.dump(value, Dumper=_Readable, sort_keys=False)
    return text
