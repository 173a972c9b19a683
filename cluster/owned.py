"""Owned objects: what Kubernetes removes together with the object that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def owned(object: Mapping[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
    """The object as one that belongs to another, which has been made: only then has that a uid."""
    made = by["metadata"]
    owner = {"apiVersion": by["apiVersion"], "kind": by["kind"], "name": made["name"], "uid": made["uid"]}
    return {**object, "metadata": {**object["metadata"], "ownerReferences": [owner]}}
