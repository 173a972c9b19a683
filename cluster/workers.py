"""Training workers: Ray Train starts them and forms their process group; an overseer watches; nobody remembers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster.beats import beating
from cluster.crew import Crew
from cluster.nowhere import nowhere
from cluster.overseer import Overseer
from cluster.oversight import STUCK_S, Move, Resize, Stuck
from raymill.errors import WorkerLost

Value = TypeVar("Value")
_SAID_CHARS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFailure:
    """What each failed rank raised, or what kept the workers from starting; `ranks` are those of the errors."""

    errors: tuple[BaseException, ...]
    ranks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The workers were asked to stop, and did, not by the user; `cause` None: by nobody knows whom.

    `value` is rank 0's.
    """

    cause: Move | Resize | None
    value: Any


def run_on_workers(
    function: Callable[..., Any],
    argument: Any,
    crew: Crew,
    workers: int,
    *,
    attempt: str,
    stop: Callable[[], None],
    stuck_s: float = STUCK_S,
) -> Any | WorkerFailure | Stopped:
    """Calls `function(argument, watched=...)` on every rank of a torch process group; returns rank 0's value.

    It is tried once, as the `attempt` of that name: whether to try again is decided elsewhere. `stop` asks the ranks to
    end with a checkpoint; a rank that keeps the others waiting for `stuck_s` seconds is killed.
    """
    with Overseer(attempt, crew, workers, stop, stuck_s) as overseer:
        outcome = _fit(function, argument, attempt, crew, workers)
    match overseer.verdict:
        case Stuck(reason=reason):
            return WorkerFailure(errors=(WorkerLost(f"{reason}.", "See what that rank's process waits for."),))
        case Move() | Resize() as cause if not isinstance(outcome, WorkerFailure):
            return Stopped(cause=cause, value=outcome)
    return outcome


def _fit(function: Callable[..., Any], argument: Any, attempt: str, crew: Crew, workers: int) -> Any | WorkerFailure:
    """Signals stay with the caller: `fit` runs beside the main thread, or it would take them.

    An interrupted call leaves its workers to the end of the Ray session.
    """
    from ray.exceptions import RayActorError
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import ControllerError, TrainingFailedError, WorkerGroupError

    trainer = TorchTrainer(
        lambda config: function(config["argument"], watched=beating(attempt)),
        train_loop_config={"argument": argument},
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu="GPU" in crew.each, resources_per_worker=dict(crew.each)
        ),
        run_config=RunConfig(
            name=attempt,
            storage_path="/ray-train",
            storage_filesystem=nowhere(),
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=0, max_preemption_failures=0),
        ),
    )
    try:
        return beside(trainer.fit).return_value
    except WorkerGroupError as error:
        return WorkerFailure(errors=tuple(error.worker_failures.values()), ranks=tuple(error.worker_failures))
    except ControllerError as error:
        return WorkerFailure(errors=(error.controller_failure,))
    except TrainingFailedError as error:
        return WorkerFailure(errors=(error,))
    except RayActorError as error:
        return WorkerFailure(errors=(unled(str(error), error.actor_init_failed),))


def unled(said: str, in_the_beginning: bool) -> WorkerLost:
    """Why there are no ranks: Ray Train's controller, one process beside the driver, died or could not begin.

    What it `said` tells why only where it could not begin: in the last line of its traceback.
    """
    if in_the_beginning:
        return WorkerLost(
            f"The process that leads the ranks could not begin: {said.splitlines()[-1][:_SAID_CHARS].rstrip(' .')}.",
            "Mend that; the same command continues from the newest checkpoint.",
        )
    return WorkerLost(
        "The process that leads the ranks, Ray Train's controller, died.",
        "See `dmesg`, the memory and the disk of the driver's node; the same command continues.",
    )


def beside(function: Callable[[], Value]) -> Value:
    """Calls a function in a thread of its own and waits; what interrupts the wait waits for the thread no longer.

    Neither does the interpreter's end.
    """
    done: Future[Value] = Future()

    def run() -> None:
        try:
            done.set_result(function())
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            done.set_exception(error)

    threading.Thread(target=run, name="ray-train", daemon=True).start()
    return done.result()
