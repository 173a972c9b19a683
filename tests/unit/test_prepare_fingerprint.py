"""A prepared dataset is the same one whatever the spec says that changes none of its bytes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from jobs.prepare import _fingerprint
from raymill.spec import Spec


def _of(features: dict[str, Any]) -> str:
    task, data = {"type": "classification", "target": "y"}, {"source": "a.csv"}
    spec = Spec.model_validate({"name": "n", "task": task, "data": data, "features": features})
    return _fingerprint(spec, SimpleNamespace(fingerprint="f"))  # type: ignore[arg-type]


def test_a_private_mark_prepares_nothing_anew() -> None:
    typed = {"ignore": ["c"], "a": {"type": "category"}}
    assert _of({"a": {"private": True}}) == _of({})
    assert _of(typed | {"a": {"type": "category", "private": True}, "b": {"private": True}}) == _of(typed) != _of({})
