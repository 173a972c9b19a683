"""The courier: it brings to MLflow what the store holds of a run, whenever MLflow answers.

It knows what is to be told and to whom, not what is trained or measured. It keeps no copy: the spec, the history, the
manifests of a training and of its evaluations are in the store before anything is sent, and what MLflow lacks of them
is found by asking. So no training and no evaluation ends because MLflow is away, whoever sends next sends the rest,
and nothing is lost or doubled wherever a process died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from raymill.bundle import Bundle
from raymill.delivery import Delivery, Parcel, evaluation_delivery, training_delivery
from raymill.errors import ResourceError, StoreError, TrackerError
from raymill.evaluation import Evaluation
from raymill.history import EpochRecord, read_history
from raymill.lineage import git_commit
from raymill.mlflow_failure import gist, is_refused
from raymill.outage import WAITS_S, Outages
from raymill.run import Run, tracker_is_known
from raymill.spec import Spec
from raymill.store_id import store_id
from raymill.tracking import TrackedRun, Tracker, place_of

if TYPE_CHECKING:
    from raymill.prepared import Prepared

_TRIES_FOR_S = 10.0
_GOES_ON = "the run goes on, and what is finished is sent when it is back"


class Courier:
    """Between one run in the store and one MLflow; `say` gets a line where something can't be brought now."""

    def __init__(self, spec: Spec, prepared: Prepared, say: Callable[[str], None]) -> None:
        assert spec.tracking is not None
        self._spec, self._prepared, self._say, self._tracking = spec, prepared, say, spec.tracking
        self._run = Run.of(spec, prepared)
        self._outages = Outages(say)
        self._trains = False
        self._begun: TrackedRun | None = None
        self._spec_is_sent = False
        self._store_id = ""

    def begin(self) -> str | None:
        """Says that the run goes on; returns its id in MLflow, None while that is away. Its spec must be stored."""
        self._trains = True
        self._run.store.delete(self._run.tracked)
        with suppress(TrackerError), self._noticed():  # which is said; it is tried again with every epoch
            self._going_on()
        return self._begun.id if self._begun is not None else None

    def log_history(self, records: Sequence[EpochRecord]) -> None:
        """Sends epochs of the run that goes on. Raises TrackerError; they may be sent again then, and later ones."""
        with self._noticed():
            tracked = self._going_on()
            tracked.log_history(records)
            if not self._spec_is_sent:
                tracked.log_json("spec.json", self._run.spec())
                self._spec_is_sent = True

    def end(self, status: Literal["FAILED", "KILLED"]) -> None:
        """Says that a run which MLflow knows to go on has ended badly, after the epochs that it has done."""
        if self._begun is not None:
            parcels = (
                Parcel(what="its last epochs", send=self._send_rest),
                Parcel(what=f"that it is {status}", send=lambda to: to.finish(status)),
            )
            self._hand_over(self._begun, parcels)

    def deliver(self, evaluation: Evaluation | None = None) -> str | None:
        """Sends what MLflow lacks of the finished training, and of an evaluation; says what could not be sent.

        Returns the run's id in MLflow, None where that can't be reached. A training that another process is
        continuing now is left to that one.
        """
        trained = self._run.trained()
        assert trained is not None
        training = training_delivery(self._run, trained)
        others = [] if evaluation is None else [evaluation_delivery(self._run, self._prepared.task, evaluation)]
        try:
            tracked = self._tracker(_TRIES_FOR_S).find(self._run.name)
            known = tracked.id if tracked is not None else ""
            if not training.is_made(self._tracking, known):
                tracked = self._opened(_TRIES_FOR_S)
                with suppress(ResourceError), self._run.lease():
                    self._make(training, tracked)
        except TrackerError as error:
            unsent = [each for each in (training, *others) if not each.is_made(self._tracking, None)]
            self._say_unsent(error, [parcel for each in unsent for parcel in each.parcels])
            return None
        assert tracked is not None
        for other in others:
            if not other.is_made(self._tracking, tracked.id):
                self._make(other, tracked)
        return tracked.id

    def run_id(self) -> str:
        """The run's id in MLflow, which is waited for as a store is. Raises TrackerError."""
        return (self._tracker(WAITS_S).find(self._run.name) or self._opened(WAITS_S)).id

    def _make(self, delivery: Delivery, tracked: TrackedRun) -> None:
        if self._hand_over(tracked, delivery.parcels):
            delivery.done(self._tracking, tracked.id)

    def _hand_over(self, tracked: TrackedRun, parcels: Sequence[Parcel]) -> bool:
        """Sends parcels in order; says which are left where one can't be sent."""
        for index, parcel in enumerate(parcels):
            try:
                parcel.send(tracked)
            except TrackerError as error:
                self._say_unsent(error, parcels[index:])
                return False
        return True

    def _say_unsent(self, error: TrackerError, parcels: Sequence[Parcel]) -> None:
        if parcels:
            what = ", ".join(parcel.what for parcel in parcels)
            self._say(
                f"WARNING: {error.what} Not in MLflow yet of {self._run.name}: {what}. "
                "The store has it, and the same command sends it."
            )

    def _send_rest(self, to: TrackedRun) -> None:
        with suppress(StoreError):  # as it may be what ended the run; the same command reads it again
            to.log_history(read_history(self._run.store.at_once(), self._run.history))

    def _going_on(self) -> TrackedRun:
        if self._begun is None:
            tracked = self._opened(0.0)
            tracked.resume()
            self._begun = tracked
        return self._begun

    def _tracker(self, waits_s: float) -> Tracker:
        self._store_id = self._store_id or store_id(self._run.store)
        root = artifact_root(self._spec)
        return Tracker.open(self._tracking, self._spec.name, root, self._store_id, waits_s=waits_s)

    def _opened(self, waits_s: float) -> TrackedRun:
        """The run in MLflow, found or made, told what it was trained on and with."""
        spec, commit = self._run.spec(), self._commit()
        tags = {"raymill.dataset": self._prepared.uri, "raymill.dataset_fingerprint": self._prepared.fingerprint}
        return self._tracker(waits_s).run(
            self._run.name,
            params={"model": spec["model"], "train": spec["train"]},
            tags=tags | ({"raymill.git_commit": commit} if commit else {}),
            began_ms=self._run.store.written_ms(self._run.resolved),
        )

    def _commit(self) -> str | None:
        """The commit that it is being trained at, or was."""
        trained = self._run.trained()
        if self._trains or trained is None:
            return git_commit()
        commit: str | None = Bundle.read(trained.bundle_uri, trained.digest).lineage.get("git_commit")
        return commit

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        """Says once that MLflow is away while the run goes on, and once that it is back."""
        place, since_s = place_of(self._tracking), time.monotonic()
        try:
            yield
        except TrackerError as error:
            cause = error.__cause__
            reason = gist(cause) if isinstance(cause, Exception) else error.what
            refused = cause is not None and is_refused(cause)
            self._outages.away(place, since_s, reason, _GOES_ON, "refuses this user" if refused else "is away")
            raise
        self._outages.back(place)


def require_tracker(spec: Spec, say: Callable[[str], None]) -> None:
    """Refuses an MLflow that can't be used, unless an earlier run has used it: then it is only away, which is said.

    Raises TrackerError.
    """
    assert spec.tracking is not None
    try:
        Tracker.open(spec.tracking, spec.name, artifact_root(spec))
    except TrackerError as error:
        if not tracker_is_known(spec):
            raise
        say(f"WARNING: {error.what} It has been used before: what is to be sent is sent when it is back.")


def artifact_root(spec: Spec) -> str:
    """Where an experiment in a database keeps its files."""
    return f"{spec.store}/mlflow"
