"""A store's id: drawn when it is first asked for, so that two stores with the same runs are told apart elsewhere."""

from __future__ import annotations

import uuid

from raymill.store import Store

_PATH = "store-id"


def store_id(store: Store) -> str:
    """32 letters and digits, the same for every process and for as long as the store is there. Raises StoreError."""
    while (found := store.peek(_PATH)) is None:
        store.swap(_PATH, None, uuid.uuid4().hex.encode())  # of several processes one draws it
    return found.decode()
