"""The record of a running endpoint, in the store, by which another process finds and joins it.

It knows the store and HTTP, no Ray. A record proves nothing by itself: its process may have died.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from cluster.certificate import direct
from raymill.record import record_of
from raymill.store import Store

_ANSWERS_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRecord:
    """Who serves a name: `args` are the arguments of its application, `started` is UTC in ISO 8601.

    With TLS `certificate` is the one that it shows, in PEM, so that who finds the record trusts that and no other.

    Their `endpoint_id` is drawn when a name is first served, stays when its version changes, and is what
    `GET /healthz` answers as `id`.
    """

    name: str
    url: str
    version: str
    ray_address: str
    pid: int
    started: str
    args: dict[str, Any]
    certificate: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether it is this endpoint that answers at the URL, and not a namesake from another store."""
        health = health_of(self.url, self.certificate)
        return health is not None and (health.get("name"), health.get("id")) == (
            self.name,
            self.args.get("endpoint_id"),
        )

    def write(self, store: Store) -> None:
        store.write_json(_path(self.name), asdict(self))


def find(store: Store, name: str) -> EndpointRecord | None:
    """The running endpoint of that name, or None. Raises StoreError, DataError."""
    record = read(store, name)
    return record if record is not None and record.is_alive else None


def forget(store: Store, name: str, *, ray_address: str | None = None) -> None:
    """Deletes the record, or with `ray_address` only one of an endpoint on that Ray; absent is fine."""
    record = read(store, name)
    if record is not None and ray_address in (None, record.ray_address):
        store.delete(_path(name))


def health_of(url: str, certificate: str = "") -> dict[str, Any] | None:
    """What `GET /healthz` answers below an endpoint's URL, or None where nothing of ours answers in three seconds."""
    try:
        with direct(certificate).open(f"{url}/healthz", timeout=_ANSWERS_WITHIN_S) as answer:
            health = json.load(answer)
    except (OSError, ValueError):
        return None
    return health if isinstance(health, dict) else None


def read(store: Store, name: str) -> EndpointRecord | None:
    path = _path(name)
    return record_of(EndpointRecord, store.read_json(path), f"{store.uri}/{path}") if store.exists(path) else None


def _path(name: str) -> str:
    return f"endpoints/{name}.json"
