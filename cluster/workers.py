"""Training workers: Ray Train starts them, forms their process group and watches them; it remembers nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from raymill.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFailure:
    """What each failed rank raised, or what kept the workers from starting."""

    errors: tuple[BaseException, ...]


def run_on_workers(
    function: Callable[[Any], Any], argument: Any, *, workers: int, cpus: float, gpus: float, scratch: Store
) -> Any:
    """Calls `function(argument)` on every rank of a torch process group; returns rank 0's value or a WorkerFailure.

    It is tried once: whether to try again is decided elsewhere. Ray Train keeps its files in `scratch`, which is
    deleted afterwards. Signals stay with the caller: `fit` runs beside the main thread, or it would take them.
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
        run_config=RunConfig(name=attempt, storage_path=scratch.uri, failure_config=FailureConfig(max_failures=0)),
    )
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="ray-train") as beside:
            return beside.submit(trainer.fit).result().return_value
    except WorkerGroupError as error:
        return WorkerFailure(errors=tuple(error.worker_failures.values()))
    except ControllerError as error:
        return WorkerFailure(errors=(error.controller_failure,))
    except TrainingFailedError as error:
        return WorkerFailure(errors=(error,))
    finally:
        scratch.delete(attempt)
