"""The train job: prepared rows become a bundle, by Ray Train's workers or, where one is enough, in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cluster.background import Background
from cluster.retry import GiveUp, decide
from cluster.stopping import on_interrupt
from cluster.workers import WorkerFailure, run_on_workers
from raymill.baselines import fit_baselines, write_baselines
from raymill.console import Console
from raymill.errors import Interrupted, TrackerError
from raymill.following import Follower
from raymill.history import EpochRecord, read_history
from raymill.lineage import git_commit
from raymill.loggable import scrubbed
from raymill.loop import Fit
from raymill.prepared import Prepared
from raymill.run import Run, Trained
from raymill.spec import Spec
from raymill.tracking import TrackedRun, Tracker
from raymill.training import Assignment, train_rank

CPUS_ASKED_PER_WORKER = 0.5


def train(spec: Spec, prepared: Prepared, console: Console) -> Trained:
    """Trains, or continues training, the run that this spec and dataset name; returns its manifest.

    Raises UserError at once and without a retry, WorkerLost when retries are spent, Interrupted after Ctrl-C.
    """
    run = Run.of(spec, prepared)
    tracked = _tracked_run(spec, prepared, run)
    if (finished := _finished(run, spec, tracked, console)) is not None:
        return finished
    run.forget_stop()
    run.save_spec(scrubbed(spec.to_json()))
    assignment = Assignment(spec=spec, dataset_uri=prepared.uri, run_id=tracked.id, git_commit=git_commit())
    with _accounted(tracked), Background.start(_store_baselines, prepared, run, spec.train.seed) as baselines:
        with on_interrupt(run.ask_to_stop, console), _followed(run, spec, tracked, console):
            fit = _fit(assignment, run, console)
        if fit.status == "interrupted":
            raise Interrupted(f"Training stopped at step {fit.steps}.", "Type the same command to continue from there.")
        return _concluded(run, tracked, baselines, console)


def _finished(run: Run, spec: Spec, tracked: TrackedRun, console: Console) -> Trained | None:
    """The run's manifest where nothing is left to train; epochs that MLflow has missed are sent now."""
    trained = run.trained()
    if trained is None or (trained.status == "finished" and trained.epochs < spec.train.epochs):
        return None
    tracked.log_history(read_history(run.store, run.history))
    console.say(f"train     already done: {run.name}, {trained.status} after {trained.epochs} epochs")
    return trained


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
    """Says in MLflow how the block ended; what ended it counts for more than a tracker that can't be told."""
    tracked.resume()
    try:
        yield
    except BaseException as error:
        with suppress(TrackerError):
            tracked.finish("KILLED" if isinstance(error, Interrupted | KeyboardInterrupt) else "FAILED")
        raise
    tracked.finish("FINISHED")


@contextmanager
def _followed(run: Run, spec: Spec, tracked: TrackedRun, console: Console) -> Iterator[None]:
    """Shows the run's history on the terminal and sends it to MLflow while the block runs."""
    with console.progress("train    ", spec.train.epochs) as bar:

        def show(record: EpochRecord) -> None:
            losses = f"loss {record.train_loss:.4f} validation {record.validation_loss:.4f}"
            bar.reach(record.epoch, f"epoch {record.epoch} {losses} {record.rows_per_s:,.0f} rows/s")

        with Follower(run.store, run.history, tracked, show, say=console.say):
            yield


def _fit(assignment: Assignment, run: Run, console: Console) -> Fit:
    """Attempts until one ends well, or the failure policy gives up and its error is raised."""
    attempt = 1
    while True:
        outcome = _attempt(assignment, run, console)
        if isinstance(outcome, Fit):
            return outcome
        decision = decide(outcome.errors, attempt)
        if isinstance(decision, GiveUp):
            raise decision.error
        console.say(f"train     lost a worker ({decision.reason}); starting again from the newest checkpoint")
        attempt += 1


def _attempt(assignment: Assignment, run: Run, console: Console) -> Fit | WorkerFailure:
    recipe = assignment.spec.train
    if recipe.workers == 1 and recipe.gpus_per_worker == 0:
        return train_rank(assignment, say=lambda text: console.say(f"train     {text}"))
    outcome: Fit | WorkerFailure = run_on_workers(
        train_rank,
        assignment,
        workers=recipe.workers,
        cpus=recipe.cpus_per_worker or CPUS_ASKED_PER_WORKER,
        gpus=recipe.gpus_per_worker,
        scratch=run.store.child(f"{run.folder}/ray"),
    )
    return outcome


def _store_baselines(prepared: Prepared, run: Run, seed: int) -> None:
    write_baselines(run.store, run.baselines, prepared, fit_baselines(prepared, seed))


def _concluded(run: Run, tracked: TrackedRun, baselines: Background, console: Console) -> Trained:
    if not baselines.is_done:
        console.say("train     waiting for the baselines (constant, linear, gradient boosting)")
    baselines.wait()
    trained = run.trained()
    assert trained is not None
    tracked.log_metrics(trained.validation, "validation")
    console.say(
        f"train     {trained.status} after {trained.epochs} epochs; best validation loss {trained.best_loss:.5g} "
        f"in epoch {trained.best_epoch} -> {trained.bundle_uri}"
    )
    return trained


def main() -> None:
    """`python -m jobs.train SPEC [key=value ...]`."""
    from cluster.cli import main as command

    sys.exit(command(["train", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
