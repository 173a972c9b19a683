"""The train job: prepared rows become a bundle, by Ray Train's workers or, where one is enough, in this process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from cluster.attempts import fit_to_the_end
from cluster.background import Background
from cluster.stopping import on_interrupt
from raymill.baselines import has_baselines, store_baselines
from raymill.bundle import Bundle
from raymill.console import Console
from raymill.courier import Courier
from raymill.errors import Interrupted
from raymill.following import Follower
from raymill.history import EpochRecord
from raymill.lease import Lease
from raymill.lineage import git_commit
from raymill.loggable import scrubbed, without_userinfo
from raymill.prepared import Prepared
from raymill.run import Run, Trained
from raymill.spec import Spec
from raymill.training import Assignment


def train(spec: Spec, prepared: Prepared, console: Console) -> Trained:
    """Trains, or continues training, the run that this spec and dataset name, beside its baselines.

    Raises UserError at once and without a retry, WorkerLost when retries are spent, Interrupted after Ctrl-C,
    ResourceError while another process trains the same run, or when one has taken it over.
    """
    run = Run.of(spec, prepared)
    courier = Courier(spec, prepared, lambda text: console.say(f"train     {text}"))
    if run.has_trained(spec.train.epochs) and has_baselines(run.store, run.baselines) and _damage(run) is None:
        console.say(f"train     already done: {run.name}")
    else:
        with run.lease() as held, _accounted(courier, held), _baselines(run, prepared, spec) as baselines:
            if damage := _damage(run):
                console.say(f"train     WARNING: {damage} Training goes on from the newest checkpoint.")
                run.forget_conclusion()
            if not run.has_trained(spec.train.epochs):
                _train(spec, prepared, run, held, courier, console)
            _wait(baselines, console)
    trained = run.trained()
    assert trained is not None
    trained = replace(trained, run_id=courier.deliver())
    _tell(spec, trained, console)
    return trained


def _damage(run: Run) -> str | None:
    trained = run.trained()
    return None if trained is None else Bundle.damage(trained.bundle_uri, trained.digest)


def _train(spec: Spec, prepared: Prepared, run: Run, held: Lease, courier: Courier, console: Console) -> None:
    """Trains until it is done, or asked to stop: by the user, or since another process has this run by now."""
    run.save_spec(scrubbed(spec.to_json()))
    run_id = courier.begin()
    assignment = Assignment(
        run=run.name, spec=_for_ranks(spec), dataset_uri=prepared.uri, run_id=run_id, git_commit=git_commit()
    )
    asked = threading.Event()
    with on_interrupt(asked.set, console), held.telling(asked.set), _followed(run, spec, courier, console):
        fit = fit_to_the_end(assignment, run, asked, console)
    if fit.status == "interrupted":
        raise Interrupted(f"Training stopped at step {fit.steps}.", "Type the same command to continue from there.")


def _for_ranks(spec: Spec) -> Spec:
    """Ranks ask no tracker, so that its password need not travel, which Ray Train may show among its arguments."""
    assert spec.tracking is not None
    return spec.model_copy(update={"tracking": without_userinfo(spec.tracking)})


@contextmanager
def _accounted(courier: Courier, held: Lease) -> Iterator[None]:
    """Says in MLflow if the run ends badly; one that another process has by now goes on."""
    try:
        yield
    except BaseException as error:
        if not held.is_lost:
            courier.end("KILLED" if isinstance(error, Interrupted | KeyboardInterrupt) else "FAILED")
        raise


@contextmanager
def _followed(run: Run, spec: Spec, courier: Courier, console: Console) -> Iterator[None]:
    """Shows the run's history on the terminal and sends it to MLflow while the block runs."""
    with console.progress("train    ", spec.train.epochs) as bar:

        def show(record: EpochRecord) -> None:
            console.meter.epoch(record)
            losses = f"loss {record.train_loss:.4f} validation {record.validation_loss:.4f}"
            bar.reach(record.epoch, f"epoch {record.epoch} {losses} {record.rows_per_s:,.0f} rows/s")

        with Follower(run.store, run.history, courier, show):
            yield


@contextmanager
def _baselines(run: Run, prepared: Prepared, spec: Spec) -> Iterator[Background | None]:
    """The task that fits the baselines beside the block; None where they are stored already."""
    if has_baselines(run.store, run.baselines):
        yield None
    else:
        with Background.start(store_baselines, prepared, run.store, run.baselines, spec.train.seed) as task:
            yield task


def _wait(baselines: Background | None, console: Console) -> None:
    if baselines is not None:
        if not baselines.is_done:
            console.say("train     waiting for the baselines (constant, linear, gradient boosting)")
        with console.meter.waiting("baselines"):
            baselines.wait()


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
