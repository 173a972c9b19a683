"""The record of a running endpoint, in the store, by which another process finds and joins it.

It knows the store and HTTP, no Ray. A record proves nothing by itself: its process may have died.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any

from raymill.store import Store

_ANSWERS_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRecord:
    """Who serves a name: `args` are the arguments of its application, `started` is UTC in ISO 8601."""

    name: str
    url: str
    version: str
    ray_address: str
    pid: int
    started: str
    args: dict[str, Any]

    @property
    def is_alive(self) -> bool:
        """Whether it is this endpoint that answers at the URL."""
        health = health_of(self.url)
        return health is not None and health.get("name") == self.name

    def write(self, store: Store) -> None:
        store.write_json(_path(self.name), asdict(self))


def find(store: Store, name: str) -> EndpointRecord | None:
    """The running endpoint of that name, or None. Raises StoreError."""
    if not store.exists(_path(name)):
        return None
    record = EndpointRecord(**store.read_json(_path(name)))
    return record if record.is_alive else None


def forget(store: Store, name: str) -> None:
    """Deletes the record; absent is fine."""
    store.delete(_path(name))


def health_of(url: str) -> dict[str, Any] | None:
    """What `GET /healthz` answers below an endpoint's URL, or None where nothing of ours answers in three seconds."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=_ANSWERS_WITHIN_S) as answer:
            health = json.load(answer)
    except (OSError, ValueError):
        return None
    return health if isinstance(health, dict) else None


def _path(name: str) -> str:
    return f"endpoints/{name}.json"
