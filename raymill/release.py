"""The release: a candidate that answers beside the stable version of an endpoint, until it is decided on.

What is wanted stands in the store, `endpoints/NAME/release.json`, where every replica looks once a second; so to begin,
to shift the share and to roll back are one small write, by whoever may write the store, and no deploy. It knows stores
and no HTTP.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from raymill.errors import ResourceError
from raymill.store import Store, encode_json

Text = Annotated[str, Field(min_length=1)]
State = Literal["on", "promoted", "rolled_back", "overtaken"]


class Candidate(BaseModel):
    """A registered version by where its bundle is and what that has to be."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Text
    bundle_uri: Text
    digest: Text
    run_id: str | None = None


class Release(BaseModel):
    """One release of an endpoint, and how it ended; `share` of the requests is answered by the candidate.

    A shadow's share is scored by the candidate too, and answered by the stable version. Whenever the share changes a
    new stage begins, whose counts are its own. A promoted candidate answers in the stable version's replicas until
    those are gone, and once it is `deployed` in none that starts later.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Text
    name: Text
    stable: Text
    stable_bundle_uri: Text
    stable_digest: Text
    candidate: Candidate
    share: float = Field(ge=0, le=1)
    shadow: bool
    stage: int = Field(1, ge=1)
    state: State = "on"
    reason: str = ""
    deployed: bool = False
    begun: Text
    changed: Text

    @property
    def is_over(self) -> bool:
        """Whether no replica has part in it any more."""
        return self.state in ("rolled_back", "overtaken")

    def takes(self, request_id: str) -> bool:
        """Whether a request is the candidate's: by a hash of its id, so that a larger share keeps those it had."""
        digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self.share * 2**64

    def changed_to(self, **changes: object) -> Release:
        """Another share, or an end, as of now."""
        after = self.model_copy(update={"changed": now()} | changes)
        moved = (after.share, after.shadow) != (self.share, self.shadow)
        return self.model_validate(after.model_dump() | {"stage": self.stage + moved})

    def beside(self, served: str) -> Release:
        """What it is once a version is deployed: over, but where it is on beside that one, or what was promoted."""
        if self.is_over or self.deployed or (self.state == "on" and self.stable == served):
            return self
        if self.state == "promoted" and self.candidate.version == served:
            return self.model_copy(update={"deployed": True})
        return self.changed_to(state="overtaken", reason=f"version {served} was deployed meanwhile")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def path_of(name: str) -> str:
    return f"endpoints/{name}/release.json"


def find_release(store: Store, name: str) -> Release | None:
    """The endpoint's newest release, on or ended. Raises StoreError; ResourceError for one that is not readable."""
    found = store.peek(path_of(name))
    return None if found is None else _parsed(found, store, name)


def begin(store: Store, release: Release) -> None:
    """Puts a release in the place of one that has ended. Raises ResourceError where one is still on."""
    before = store.peek(path_of(release.name))
    if before is not None and (there := _parsed(before, store, release.name)).state == "on":
        raise ResourceError(
            f"Version {there.candidate.version} of {release.name} is being released already, since {there.begun}.",
            "Type `raymill release promote SPEC` or `raymill release rollback SPEC` first.",
        )
    _swap(store, before, release)


def change(store: Store, name: str, **changes: object) -> Release:
    """Changes the release that is on; returns what it is now. Raises ResourceError where none is."""
    before = store.peek(path_of(name))
    there = None if before is None else _parsed(before, store, name)
    if there is None or there.state != "on":
        raise ResourceError(
            f"No version of {name} is being released.", "Type `raymill deploy SPEC --canary 10%` to begin one."
        )
    after = there.changed_to(**changes)
    _swap(store, before, after)
    return after


def settle(store: Store, name: str, served: str) -> None:
    """Notes what the deploy of a version means for the release, if there is one. Raises as `change`.

    For a promoted one too: its stable version may be deployed again later, and has then to answer itself.
    """
    before = store.peek(path_of(name))
    if before is None:
        return
    there = _parsed(before, store, name)
    after = there.beside(served)
    if after != there:
        _swap(store, before, after)


def _parsed(data: bytes, store: Store, name: str) -> Release:
    try:
        return Release.model_validate_json(data)
    except ValueError as error:
        raise ResourceError(
            f"{store.uri}/{path_of(name)} is no release: {' '.join(str(error).split())}.",
            "Delete it; the stable version answers meanwhile.",
        ) from error


def _swap(store: Store, before: bytes | None, after: Release) -> None:
    if not store.swap(path_of(after.name), before, encode_json(after.model_dump(mode="json"))):
        raise ResourceError(
            f"Somebody else has just changed the release of {after.name}.", "Type `raymill release status SPEC`."
        )
