"""The report of a release: what each replica says that it has seen of one stage, and what that adds up to.

A replica writes its own file again and again, so that what it counted is left when it dies. It knows stores and counts,
no replicas.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from raymill.record import record_of
from raymill.release import Release
from raymill.store import Store
from raymill.version_counts import VersionCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseReport:
    """One replica's, or the sum of all: `skipped` pairs were not scored twice, for want of time.

    `failures` say why a candidate could not be loaded; such a replica answers with the stable version alone.
    """

    stable: VersionCounts = field(default_factory=VersionCounts)
    candidate: VersionCounts = field(default_factory=VersionCounts)
    skipped: int = 0
    replicas: int = 0
    failures: tuple[str, ...] = ()

    def merge(self, other: ReleaseReport) -> ReleaseReport:
        return ReleaseReport(
            stable=self.stable.merge(other.stable),
            candidate=self.candidate.merge(other.candidate),
            skipped=self.skipped + other.skipped,
            replicas=self.replicas + other.replicas,
            failures=self.failures + other.failures,
        )

    def write(self, store: Store, release: Release, replica: str) -> None:
        """Raises StoreError."""
        store.write_json(f"{_folder(release)}/{replica}.json", self._json())

    @classmethod
    def gather(cls, store: Store, release: Release) -> ReleaseReport:
        """The sum of what all replicas have said of the release's present stage. Raises StoreError, DataError."""
        total = cls()
        for file in store.files(_folder(release)):
            total = total.merge(cls._of(store.read_json(file.path), f"{store.uri}/{file.path}"))
        return total

    def _json(self) -> dict[str, Any]:
        return asdict(self) | {"stable": self.stable.to_json(), "candidate": self.candidate.to_json()}

    @classmethod
    def _of(cls, data: Any, path: str) -> ReleaseReport:
        read = record_of(cls, data, path)
        return cls(
            stable=VersionCounts.from_json(read.stable, path),
            candidate=VersionCounts.from_json(read.candidate, path),
            skipped=read.skipped,
            replicas=read.replicas,
            failures=tuple(read.failures),
        )


def _folder(release: Release) -> str:
    return f"endpoints/{release.name}/releases/{release.id}/{release.stage}"
