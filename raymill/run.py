"""A run: one training of one spec on one prepared dataset, by a name that typing the same command finds again."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from raymill.imported_code import fingerprint_of
from raymill.lease import Lease, lease
from raymill.loggable import without_userinfo
from raymill.record import record_of, require_format
from raymill.spec import Spec
from raymill.stop import Stop
from raymill.store import Store

if TYPE_CHECKING:
    from raymill.prepared import Prepared

FORMAT = 1
_CHANGEABLE = {"epochs", "workers", "cpus_per_worker", "gpus_per_worker", "checkpoint_every"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What `train.json`, a finished run's manifest, says."""

    run: str
    run_id: str | None  # the tracker's, if it could be reached when training began
    status: str
    epochs: int
    steps: int
    best_epoch: int
    best_loss: float
    bundle_uri: str
    digest: str
    dataset_uri: str
    dataset_fingerprint: str
    validation: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run's name and its places in the store.

    The name is the spec's plus a fingerprint of the dataset, the model, an imported one's code, and how it is trained;
    epochs, workers and the checkpoint cadence don't change it, so that they may differ when a run is continued.
    """

    name: str
    store: Store

    @classmethod
    def of(cls, spec: Spec, prepared: Prepared) -> Run:
        train = {k: v for k, v in spec.train.model_dump(mode="json").items() if k not in _CHANGEABLE}
        identity = [prepared.fingerprint, spec.model.model_dump(mode="json", by_alias=True), train]
        if code := fingerprint_of(spec.model):
            identity.append(code)
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return cls(name=f"{spec.name}-{digest[:8]}", store=Store(spec.store))

    @property
    def folder(self) -> str:
        return f"runs/{self.name}"

    @property
    def checkpoints(self) -> str:
        return f"{self.folder}/checkpoints"

    @property
    def history(self) -> str:
        return f"{self.folder}/history"

    @property
    def baselines(self) -> str:
        return f"{self.folder}/baselines"

    def bundle(self, steps: int) -> Store:
        """Where the bundle of so many steps is. A longer training gets another, since versions name theirs."""
        return self.store.child(f"{self.folder}/bundles/{steps}")

    def trained(self) -> Trained | None:
        """The manifest of the finished run, or None. Raises DataError for one that another version wrote."""
        if not self.store.exists(self.manifest):
            return None
        shown = f"{self.store.uri}/{self.manifest}"
        return record_of(Trained, require_format(self.store.read_json(self.manifest), FORMAT, shown), shown)

    def has_trained(self, epochs: int) -> bool:
        """Whether nothing is left of a training of so many epochs."""
        trained = self.trained()
        return trained is not None and (trained.status == "stopped early" or trained.epochs >= epochs)

    def lease(self) -> AbstractContextManager[Lease]:
        """Keeps other processes from training this run while the block runs."""
        return lease(self.store, f"{self.folder}/lease.json", f"The run {self.name}")

    @property
    def tracked(self) -> str:
        """Where it is marked what a tracker has been told of the finished training."""
        return f"{self.folder}/tracked.json"

    def conclude(self, trained: Trained) -> None:
        """Writes the manifest: from here on the model is trained; the run is finished with its baselines."""
        self.store.write_json(self.manifest, {"format": FORMAT} | asdict(trained))

    def forget_conclusion(self) -> None:
        """Deletes the manifest: the run is unfinished, and its newest checkpoint concludes it anew."""
        self.store.delete(self.manifest)

    def save_spec(self, resolved: dict[str, Any]) -> None:
        self.store.write_json(self.resolved, resolved)

    def spec(self) -> dict[str, Any]:
        """The resolved spec that it was trained with last, without secrets."""
        resolved: dict[str, Any] = self.store.read_json(self.resolved)
        return resolved

    @property
    def manifest(self) -> str:
        return f"{self.folder}/train.json"

    @property
    def resolved(self) -> str:
        """Where the resolved spec is: the first that is written."""
        return f"{self.folder}/spec.json"

    def stop(self, attempt: str) -> Stop:
        """By which the ranks of an attempt are asked to end."""
        return Stop(self.store, f"{self.folder}/ray/{attempt}")


def tracker_is_known(spec: Spec) -> bool:
    """Whether a run of the spec's name was begun with the same tracker: one that doesn't answer is right, but away."""
    assert spec.tracking is not None
    store, tracking = Store(spec.store), without_userinfo(spec.tracking)
    begun = re.compile(rf"runs/{re.escape(spec.name)}-[0-9a-f]{{8}}/spec\.json")
    found = (file.path for file in store.files("runs", recursive=True) if begun.fullmatch(file.path))
    return any(store.read_json(path)["tracking"] == tracking for path in found)
