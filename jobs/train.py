"""The train job: prepared rows become a bundle, by Ray Train's workers or, where one is enough, in this process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from cluster.attempts import fit_to_the_end
from cluster.background import Background
from cluster.stopping import on_interrupt
from raymill.baselines import fit_baselines, has_baselines, write_baselines
from raymill.bundle import Bundle
from raymill.console import Console
from raymill.errors import Interrupted, TrackerError
from raymill.following import Follower
from raymill.history import EpochRecord, read_history
from raymill.lineage import git_commit
from raymill.loggable import scrubbed
from raymill.prepared import Prepared
from raymill.run import Run, Trained
from raymill.spec import Spec
from raymill.tracking import TrackedRun, Tracker
from raymill.training import Assignment


def train(spec: Spec, prepared: Prepared, console: Console) -> Trained:
    """Trains, or continues training, the run that this spec and dataset name, beside its baselines.

    Raises UserError at once and without a retry, WorkerLost when retries are spent, Interrupted after Ctrl-C,
    ResourceError while another process trains the same run.
    """
    run = Run.of(spec, prepared)
    tracked = _tracked_run(spec, prepared, run)
    if run.has_trained(spec.train.epochs) and has_baselines(run.store, run.baselines) and _damage(run) is None:
        console.say(f"train     already done: {run.name}")
    else:
        with run.lease(), _accounted(tracked), _baselines(run, prepared, spec) as baselines:
            if damage := _damage(run):
                console.say(f"train     WARNING: {damage} Training goes on from the newest checkpoint.")
                run.forget_conclusion()
            if not run.has_trained(spec.train.epochs):
                _train(spec, prepared, run, tracked, console)
            _wait(baselines, console)
    trained = run.trained()
    assert trained is not None
    trained = replace(trained, run_id=tracked.id)
    _track(spec, run, trained, tracked, console)
    _tell(spec, trained, console)
    return trained


def _damage(run: Run) -> str | None:
    trained = run.trained()
    return None if trained is None else Bundle.damage(trained.bundle_uri, trained.digest)


def _train(spec: Spec, prepared: Prepared, run: Run, tracked: TrackedRun, console: Console) -> None:
    run.forget_stop()
    run.save_spec(scrubbed(spec.to_json()))
    tracked.log_json("spec.json", spec.to_json())
    assignment = Assignment(spec=spec, dataset_uri=prepared.uri, run_id=tracked.id, git_commit=git_commit())
    asked = threading.Event()

    def ask() -> None:
        asked.set()
        run.ask_to_stop()

    with on_interrupt(ask, console), _followed(run, spec, tracked, console):
        fit = fit_to_the_end(assignment, run, asked, console)
    if fit.status == "interrupted":
        raise Interrupted(f"Training stopped at step {fit.steps}.", "Type the same command to continue from there.")


def _tracked_run(spec: Spec, prepared: Prepared, run: Run) -> TrackedRun:
    assert spec.tracking is not None
    tracker = Tracker.open(spec.tracking, spec.name, f"{spec.store}/mlflow")
    tags = {"raymill.dataset": prepared.uri, "raymill.dataset_fingerprint": prepared.fingerprint}
    commit = git_commit()
    return tracker.run(
        run.name,
        params={
            "model": spec.model.model_dump(mode="json", by_alias=True),
            "train": spec.train.model_dump(mode="json"),
        },
        tags=tags | ({"raymill.git_commit": commit} if commit else {}),
    )


@contextmanager
def _accounted(tracked: TrackedRun) -> Iterator[None]:
    """Says in MLflow that the run goes on, and if it ends badly; that counts for more than a tracker that is away."""
    tracked.resume()
    try:
        yield
    except BaseException as error:
        with suppress(TrackerError):
            tracked.finish("KILLED" if isinstance(error, Interrupted | KeyboardInterrupt) else "FAILED")
        raise


@contextmanager
def _followed(run: Run, spec: Spec, tracked: TrackedRun, console: Console) -> Iterator[None]:
    """Shows the run's history on the terminal and sends it to MLflow while the block runs."""
    with console.progress("train    ", spec.train.epochs) as bar:

        def show(record: EpochRecord) -> None:
            console.meter.epoch(record)
            losses = f"loss {record.train_loss:.4f} validation {record.validation_loss:.4f}"
            bar.reach(record.epoch, f"epoch {record.epoch} {losses} {record.rows_per_s:,.0f} rows/s")

        with Follower(run.store, run.history, tracked, show, say=console.say):
            yield


@contextmanager
def _baselines(run: Run, prepared: Prepared, spec: Spec) -> Iterator[Background | None]:
    """The task that fits the baselines beside the block; None where they are stored already."""
    if has_baselines(run.store, run.baselines):
        yield None
    else:
        with Background.start(_store_baselines, prepared, run, spec.train.seed) as task:
            yield task


def _store_baselines(prepared: Prepared, run: Run, seed: int) -> None:
    write_baselines(run.store, run.baselines, prepared, fit_baselines(prepared, seed))


def _wait(baselines: Background | None, console: Console) -> None:
    if baselines is not None:
        if not baselines.is_done:
            console.say("train     waiting for the baselines (constant, linear, gradient boosting)")
        baselines.wait()


def _track(spec: Spec, run: Run, trained: Trained, tracked: TrackedRun, console: Console) -> None:
    """Sends what MLflow doesn't have yet, or all to another MLflow; one that is away keeps nobody from a model."""
    if run.is_tracked(trained):
        return
    try:
        tracked.log_json("spec.json", spec.to_json())
        tracked.log_history(read_history(run.store, run.history))
        tracked.log_metrics(trained.validation, "validation")
        tracked.finish("FINISHED")
        run.mark_tracked(trained)
    except TrackerError as error:
        console.say(f"train     WARNING: {error.what} The same command sends the rest when it is back.")


def _tell(spec: Spec, trained: Trained, console: Console) -> None:
    console.say(
        f"train     {trained.status} after {trained.epochs} epochs; best validation loss {trained.best_loss:.5g} "
        f"in epoch {trained.best_epoch} -> {trained.bundle_uri}"
    )
    if trained.epochs > spec.train.epochs:
        console.say(
            f"          WARNING: this run was trained for {trained.epochs} epochs before, and keeps them; "
            f"for {spec.train.epochs}, change train.seed or the name."
        )


def main() -> None:
    """`python -m jobs.train SPEC [key=value ...]`."""
    from cluster.cli import main as command

    sys.exit(command(["train", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
