"""A delivery: what a tracker is told, once, of something that is finished and in the store.

It knows the store and a tracked run, not when a tracker is there. A delivery is made again where it is not known to be
whole, and none of its parcels then changes or doubles what an earlier one left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from raymill import plots
from raymill.evaluation import MANIFEST, TRACKED, Evaluation, all_scores
from raymill.history import read_history
from raymill.loggable import without_userinfo
from raymill.run import Run, Trained
from raymill.store import Store
from raymill.task import Task
from raymill.tracking import TrackedRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One part: what it is called, and how it is sent."""

    what: str
    send: Callable[[TrackedRun], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Parcels in order, and where in the store it is marked which tracker's run has had them all.

    `content` is the digest of what they tell.
    """

    store: Store
    mark: str
    content: str
    parcels: tuple[Parcel, ...]

    def is_made(self, tracking: str, run_id: str | None) -> bool:
        """Whether all of it has been told; where the tracker can't be asked for the run's id, as far as is known."""
        if not self.store.exists(self.mark):
            return False
        marked = self.store.read_json(self.mark)
        return bool(marked == self._marked(tracking, marked.get("run_id") if run_id is None else run_id))

    def done(self, tracking: str, run_id: str) -> None:
        """Marks that all of it has been told."""
        self.store.write_json(self.mark, self._marked(tracking, run_id))

    def _marked(self, tracking: str, run_id: str | None) -> dict[str, str | None]:
        return {"tracking": without_userinfo(tracking), "run_id": run_id, "content": self.content}


def training_delivery(run: Run, trained: Trained) -> Delivery:
    """A finished training: the spec, every epoch, the validation metrics, and that it ended well."""
    at_ms = run.store.written_ms(run.manifest)
    return Delivery(
        store=run.store,
        mark=run.tracked,
        content=trained.digest,
        parcels=(
            Parcel(what="its epochs", send=lambda to: to.log_history(read_history(run.store, run.history))),
            Parcel(
                what="its validation metrics", send=lambda to: to.log_metrics(trained.validation, "validation", at_ms)
            ),
            Parcel(what="that it has finished", send=lambda to: to.finish("FINISHED", at_ms)),
            Parcel(what="spec.json", send=lambda to: to.log_json("spec.json", run.spec())),
        ),
    )


def evaluation_delivery(run: Run, task: Task, evaluation: Evaluation) -> Delivery:
    """An evaluation: the metrics of the model and the baselines, its slices, and plots drawn from its scores."""
    store = Store(evaluation.uri)
    at_ms = store.written_ms(MANIFEST)
    drawings = {"plots/loss.png": lambda: plots.loss_curve(read_history(run.store, run.history))}
    drawings |= _drawings(task, evaluation)
    return Delivery(
        store=store,
        mark=TRACKED,
        content=evaluation.digest,
        parcels=(
            Parcel(
                what="test metrics",
                send=lambda to: to.log_metrics(evaluation.metrics, "test", at_ms, evaluation.reasons),
            ),
            Parcel(what="the baselines' metrics", send=lambda to: _send_baselines(to, evaluation, at_ms)),
            Parcel(
                what=MANIFEST,
                send=lambda to: to.log_json(MANIFEST, _shown(evaluation)),
            ),
            *(_drawing(path, draw) for path, draw in drawings.items()),
        ),
    )


def _shown(evaluation: Evaluation) -> dict[str, Any]:
    return {name: getattr(evaluation, name) for name in ("metrics", "slices", "slices_left_out")}


def _send_baselines(to: TrackedRun, evaluation: Evaluation, at_ms: int) -> None:
    for name, metrics in evaluation.baselines.items():
        to.log_metrics(metrics, f"baseline/{name}", at_ms)


def _drawing(path: str, draw: Callable[[], bytes]) -> Parcel:
    return Parcel(what=path, send=lambda to: to.log_bytes(path, draw()))


def _drawings(task: Task, evaluation: Evaluation) -> dict[str, Callable[[], bytes]]:
    def scores() -> tuple[np.ndarray, np.ndarray]:
        return all_scores(evaluation.uri, "candidate")

    if task.kind == "regression":
        return {"plots/residuals.png": lambda: plots.residuals(*scores())}
    return {
        "plots/roc.png": lambda: plots.roc(*scores(), task),
        "plots/confusion.png": lambda: plots.confusion(np.array(evaluation.confusion), task.classes),
    }
