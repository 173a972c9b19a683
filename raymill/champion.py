"""The champion: the version that candidates are compared with and that is served, with a bundle that can be read.

Who trained it may have kept its bundle in another store, or lost it since: then it is fetched from MLflow, which has
had a copy since it was registered. So no champion gives way to a candidate that it was not compared with.
"""

from __future__ import annotations

from dataclasses import replace

from raymill.bundle import Bundle
from raymill.errors import DataError, TrackerError
from raymill.outage import WAITS_S
from raymill.registry import Registry, Version
from raymill.spec import Spec
from raymill.store import Store


def find_champion(spec: Spec, waits_s: float = WAITS_S) -> Version | None:
    """The champion of the spec's name, None where there is none yet; its bundle is whole, and its digest right.

    Raises TrackerError where MLflow is away for so many seconds, DataError for a bundle that nobody has any more.
    """
    assert spec.tracking is not None
    registry = Registry(spec.tracking, waits_s)
    champion = registry.alias(spec.name, "champion")
    if champion is None:
        return None
    damage = Bundle.damage(champion.bundle_uri, champion.digest)
    if damage is None:
        return champion
    copy = Store(spec.store).child(f"champions/{spec.name}-{champion.digest[:12]}")
    if Bundle.damage(copy.uri, champion.digest) is not None:
        _fetch(registry, champion, copy, damage)
    return replace(champion, bundle_uri=copy.uri)


def _fetch(registry: Registry, champion: Version, into: Store, damage: str) -> None:
    try:
        registry.fetch(champion, into)
        why = Bundle.damage(into.uri, champion.digest)
    except TrackerError as error:
        why = error.what
    if why is not None:
        raise DataError(
            f"The champion, version {champion.number} of {champion.name}, can't be compared with or served: {damage} "
            f"MLflow's copy is no help: {why}",
            f"Restore one of them; or take the alias `champion` of {champion.name} away in MLflow, and the next "
            "candidate is judged without it.",
        )
