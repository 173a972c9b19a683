"""Attempts at a training: one after the other, until one ends well or the failure policy gives up."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cluster.crew import Crew
from cluster.muster import muster
from cluster.retry import Again, Attempt, GiveUp, after_a_stop, after_failures
from cluster.state import is_embedded
from cluster.workers import Stopped, WorkerFailure, run_on_workers
from raymill.checkpoint import Checkpoints
from raymill.console import Console
from raymill.errors import Interrupted, MachineError, StoreError, StoreRefused
from raymill.loop import Fit
from raymill.out_of_memory import is_out_of_memory
from raymill.run import Run
from raymill.stop import Stop
from raymill.train_spec import TrainSpec
from raymill.training import Assignment, train_rank

_LOOKS_EVERY_S = 0.2
_ASKED_AGAIN_S = 1.0
_JOIN_S = 5.0  # what still writes then leaves nothing either


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The step of the newest checkpoint: as far as is known, where the store can't be asked for a `problem`."""

    step: int
    problem: StoreError | None = None


def fit_to_the_end(assignment: Assignment, run: Run, asked: threading.Event, console: Console) -> Fit:
    """Trains until the last epoch or until it is `asked` to stop, through all that the failure policy retries.

    Raises UserError at once, MachineError when retries are spent, Interrupted when asked to stop between attempts.
    """
    attempt = Attempt(step=_reached(run, 0).step)
    while True:
        outcome = _attempt(assignment, attempt, run, asked, console)
        if isinstance(outcome, Fit):
            return outcome
        reached = _reached(run, attempt.step)
        decision = _decide(outcome, attempt, reached)
        if isinstance(decision, GiveUp):
            raise decision.error
        ended = "was stopped" if isinstance(outcome, Stopped) else "failed"
        told = f"attempt {attempt.number} {ended} ({decision.reason})"
        console.say(f"train     {told}; {_onward(reached)}")
        console.note("retry", told)
        console.meter.retried(decision.kind)
        if asked.wait(decision.wait_s):
            raise Interrupted("Training stopped between two attempts.", "Type the same command to continue.")
        attempt = decision.attempt


def _decide(outcome: WorkerFailure | Stopped, attempt: Attempt, reached: Reached) -> Again | GiveUp:
    if isinstance(outcome, Stopped):
        return after_a_stop(outcome.cause, attempt, reached.step)
    refused = isinstance(reached.problem, StoreRefused)
    return after_failures(outcome.errors, attempt, reached.step, outcome.ranks, refused=refused)


def _onward(reached: Reached) -> str:
    if reached.step:
        return "going on from the newest checkpoint"
    if reached.problem is None:
        return "starting over"
    return "going on from the newest checkpoint, if there is one, for which the store can't be asked now"


def _attempt(
    assignment: Assignment, attempt: Attempt, run: Run, asked: threading.Event, console: Console
) -> Fit | WorkerFailure | Stopped:
    """One attempt: in this process where one worker without a GPU is enough and nobody else's cluster is asked."""
    recipe, assignment = assignment.spec.train, replace(assignment, passes=attempt.passes)
    if recipe.most_workers == 1 and recipe.gpus_per_worker == 0 and is_embedded():
        return _alone(assignment, asked, console)
    crew = _crew(recipe)
    now = crew if attempt.most is None else replace(crew, most=max(attempt.most, crew.least))
    with console.meter.waiting("room for workers"):
        workers = muster(now, lambda text: console.say(f"train     {text}"), asked.is_set)
    if workers == 0:
        raise Interrupted("Stopped before the workers were there.", "Type the same command to continue.")
    if crew.is_elastic:
        console.say(f"train     with {workers} worker{'s' if workers > 1 else ''}")
    name = uuid.uuid4().hex[:8]
    stop, assignment = run.stop(name), replace(assignment, attempt=name)
    with _passed_on(asked, stop, console):
        outcome = run_on_workers(train_rank, assignment, crew, workers, attempt=name, stop=stop.ask)
    return _told(outcome, asked, console)


def _told(
    outcome: Fit | WorkerFailure | Stopped, asked: threading.Event, console: Console
) -> Fit | WorkerFailure | Stopped:
    """What an attempt came to, after its notes are said: an interruption is the user's only where that has asked."""
    fit = outcome.value if isinstance(outcome, Stopped) else outcome
    if isinstance(fit, WorkerFailure):
        return fit
    for note in fit.notes:
        console.say(f"train     {note}")
    if fit.status != "interrupted" or asked.is_set():
        return fit
    return outcome if isinstance(outcome, Stopped) else Stopped(cause=None, value=fit)


@contextmanager
def _passed_on(asked: threading.Event, stop: Stop, console: Console) -> Iterator[None]:
    """While the block runs, an attempt's ranks are told to stop when it is asked; after it, nothing is left of that."""
    over = threading.Event()

    def tell() -> None:
        away = False
        while not over.wait(_ASKED_AGAIN_S if away else _LOOKS_EVERY_S):
            try:
                if asked.is_set():
                    stop.ask()
                    return
            except StoreError as error:
                if not away:
                    console.say(
                        f"train     WARNING: {error.what} The workers don't hear it; once more to stop at once."
                    )
                away = True

    thread = threading.Thread(target=tell, name="stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_JOIN_S)
        stop.end()


def _alone(assignment: Assignment, asked: threading.Event, console: Console) -> Fit | WorkerFailure:
    try:
        return train_rank(assignment, say=lambda text: console.say(f"train     {text}"), asked=asked)
    except Exception as error:
        if isinstance(error, MachineError) or is_out_of_memory(error):
            return WorkerFailure(errors=(error,))
        raise


def _crew(recipe: TrainSpec) -> Crew:
    """The workers that a recipe asks for."""
    return Crew.of(recipe.least_workers, recipe.most_workers, cpus=recipe.cpus_asked, gpus=recipe.gpus_per_worker)


def _reached(run: Run, known: int) -> Reached:
    """The newest checkpoint's step; the one that is known where the store is away, which may be what is decided on."""
    try:
        return Reached(step=Checkpoints(run.store, run.checkpoints).newest_step())
    except StoreError as error:
        return Reached(step=known, problem=error)
