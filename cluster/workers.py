"""Training workers: Ray Train starts them, forms their process group and watches them; it remembers nothing."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from raymill.errors import MachineError
from raymill.store import Store

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFailure:
    """What each failed rank raised, or what kept the workers from starting."""

    errors: tuple[BaseException, ...]


def run_on_workers(
    function: Callable[[Any], Any], argument: Any, *, workers: int, cpus: float, gpus: float, scratch: Store
) -> Any:
    """Calls `function(argument)` on every rank of a torch process group; returns rank 0's value or a WorkerFailure.

    It is tried once: whether to try again is decided elsewhere. Ray Train keeps its files in `scratch`, which is
    deleted afterwards. Signals stay with the caller: `fit` runs beside the main thread, or it would take them. An
    interrupted call leaves its workers to the end of the Ray session.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import ControllerError, TrainingFailedError, WorkerGroupError

    attempt = uuid.uuid4().hex[:8]
    trainer = TorchTrainer(
        lambda config: function(config["argument"]),
        train_loop_config={"argument": argument},
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=gpus > 0, resources_per_worker={"CPU": cpus} | ({"GPU": gpus} if gpus else {})
        ),
        run_config=RunConfig(
            name=attempt,
            storage_path=scratch.uri,
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=0, max_preemption_failures=0),
        ),
    )
    try:
        return beside(trainer.fit).return_value
    except WorkerGroupError as error:
        return WorkerFailure(errors=tuple(error.worker_failures.values()))
    except ControllerError as error:
        return WorkerFailure(errors=(_explained(error.controller_failure, workers, cpus, gpus),))
    except TrainingFailedError as error:
        return WorkerFailure(errors=(error,))
    finally:
        scratch.delete(attempt)


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


def _explained(failure: BaseException, workers: int, cpus: float, gpus: float) -> BaseException:
    from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

    if not isinstance(failure, WorkerGroupStartupTimeoutError):
        return failure
    return MachineError(
        f"Training asked for {workers} workers with {cpus:g} CPUs and {gpus:g} GPUs each, and the cluster had no room "
        "for all of them in time.",
        "Stop what holds its CPUs or GPUs, or ask for fewer train.workers; the same command continues.",
    )
