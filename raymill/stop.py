"""A stop: the ranks of one attempt at a training, wherever they are, are asked to write a checkpoint and end.

It is a small file in the store, of that attempt alone: one that is asked for late is not taken for another's.
"""

from __future__ import annotations

from contextlib import suppress

from raymill.errors import StoreError
from raymill.store import Store


class Stop:
    """One attempt's, whoever asks and whoever looks; neither waits for a store that is away."""

    def __init__(self, store: Store, path: str) -> None:
        self._store, self._path = store.at_once(), path
        self._was_asked = self._is_over = False

    def ask(self) -> None:
        """Asks, also again. Raises StoreError, also where it may have been heard."""
        self._was_asked = True
        self._store.write_bytes(self._path, b"")
        if self._is_over:
            self._store.delete(self._path)

    def is_asked(self) -> bool:
        return self._store.stat(self._path) is not None  # one request of the cheap kind, in a bucket

    def end(self) -> None:
        """Leaves nothing of it in the store when the attempt is over, nor of what another thread still writes."""
        self._is_over = True
        if self._was_asked:
            with suppress(StoreError):  # a store that is away hides no outcome; `raymill clean` removes it then
                self._store.delete(self._path)
