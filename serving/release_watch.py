"""The release watch: looks in the store once a second what is wanted of a release, and says there what was seen.

One thread of a replica; requests read what it has found, and never wait for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from raymill.errors import RaymillError
from raymill.release import Candidate, Release, find_release
from raymill.release_report import ReleaseReport
from raymill.store import Store
from serving.live_release import LiveRelease
from serving.version import Version

logger = logging.getLogger("ray.serve")
_EVERY_S = 1.0
_LOOKS_PER_REPORT = 2


class ReleaseWatch:
    """`live` is the release in which this replica takes part now, or None."""

    def __init__(
        self, store: Store, name: str, stable: Version, load: Callable[[Candidate], Version], replica: str
    ) -> None:
        self.live: LiveRelease | None = None
        self._store, self._name, self._stable, self._load, self._replica = store, name, stable, load, replica
        self._failed: str | None = None
        self._said = ""
        self._ended = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._follow, name="release-watch", daemon=True).start()

    def look(self) -> None:
        """Takes up what the store says now. Raises RaymillError where it can't be told."""
        wanted = find_release(self._store, self._name)
        if wanted is None or wanted.stable != self._stable.label or wanted.state in ("rolled_back", "overtaken"):
            self._leave()
        elif self.live is None or self.live.release.id != wanted.id:
            self._leave()
            self._enter(wanted)
        elif self.live.release != wanted:
            before, self.live = self.live, LiveRelease(wanted, self._stable, self.live.candidate)
            self._report(before)

    def report(self) -> None:
        """Writes what has been seen so far. Raises StoreError."""
        if self.live is not None:
            self._report(self.live)

    def _enter(self, wanted: Release) -> None:
        if self._failed == wanted.id:
            return
        try:
            candidate = self._load(wanted.candidate)
        except Exception as error:  # noqa: BLE001 (whatever it is, the stable version answers, and it is said)
            self._failed = wanted.id
            reason = error.what if isinstance(error, RaymillError) else repr(error)
            logger.error("version %s can't be loaded: %s", wanted.candidate.version, reason)
            ReleaseReport(replicas=1, failures=(reason,)).write(self._store, wanted, self._replica)
            return
        self.live = LiveRelease(wanted, self._stable, candidate)
        self._report(self.live)

    def _leave(self) -> None:
        before, self.live = self.live, None
        if before is not None:
            self._report(before)

    def _report(self, live: LiveRelease) -> None:
        live.tally.report().write(self._store, live.release, self._replica)

    def _follow(self) -> None:
        looks = 0
        while not self._ended.wait(_EVERY_S):
            looks += 1
            try:
                self.look()
                if looks % _LOOKS_PER_REPORT == 0:
                    self.report()
                self._said = ""
            except RaymillError as error:
                if self._said != error.what:
                    self._said = error.what
                    logger.warning("the release of %s can't be followed: %s", self._name, error.what)
