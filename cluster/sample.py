"""A few test rows through a live endpoint, as its first users."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pyarrow as pa

from raymill.schema import Schema

_TIMEOUT_S = 30.0


def rows_as_json(schema: Schema, table: pa.Table) -> list[dict[str, Any]]:
    """Raw rows as the JSON objects that a client would send: null for a missing cell, ISO 8601 for a time."""
    conformed = schema.conform(table)
    return [{name: _cell(value) for name, value in row.items()} for row in conformed.to_pylist()]


def ask(url: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Posts rows to an endpoint's predict URL; returns its answer."""
    body = json.dumps({"rows": rows}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def _cell(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
