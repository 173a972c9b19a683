"""One rank of a training run: from URIs to a bundle. Started by Ray Train, torchrun or alone; it knows none of them."""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass

import numpy as np
import torch

from raymill.bundle import Bundle
from raymill.checkpoint import Checkpoints
from raymill.errors import OutOfMemory, RaymillError, SpecError, StoreError
from raymill.history import HistoryWriter
from raymill.loggable import scrubbed, without_userinfo
from raymill.loop import Fit, Hooks, Loop, Place
from raymill.metrics import measure
from raymill.models import build_model, default_learning_rate, is_from_imported_code
from raymill.order import Order
from raymill.out_of_memory import is_out_of_memory
from raymill.prepared import Prepared
from raymill.rows import RowMatrix
from raymill.run import Run, Trained
from raymill.spec import Spec
from raymill.stop import Stop
from raymill.world import World

STOP_WATCH = "stop-watch"
_STOP_POLL_S = 0.5
_EVALUATION_ROWS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """All that a rank is told: the run, its resolved spec, where the prepared dataset is, and the tracked run's id.

    In `passes` parts its share of a step goes through the model. An `attempt` has a name where its ranks are asked to
    stop through the store.
    """

    run: str
    spec: Spec
    dataset_uri: str
    run_id: str | None
    git_commit: str | None = None
    passes: int = 1
    attempt: str = ""


def train_rank(
    assignment: Assignment,
    say: Callable[[str], None] = lambda text: None,
    asked: threading.Event | None = None,
    watched: Callable[[Place], AbstractContextManager[None]] = lambda place: nullcontext(),
) -> Fit:
    """Trains this process's share of a run; rank 0 leaves the bundle and then the run's manifest in the store.

    `watched` is around all in which ranks wait for each other: it may tell a rank's place to whoever watches them.
    Raises DataError, SpecError, StoreError, OutOfMemory; an interrupted fit leaves a checkpoint and no manifest.
    """
    spec, prepared = assignment.spec, Prepared.open(assignment.dataset_uri)
    run = Run.of(spec, prepared)
    if run.name != assignment.run:
        raise SpecError(
            "model.import: the network's code on this node is not that of where the command was typed.",
            "Take the module out of the image, so that the one that travels with the command is used, or update it.",
        )
    world = World.current(_device(spec))
    torch.set_num_threads(_threads(spec))
    history = HistoryWriter(run.store, run.history)
    stop = run.stop(assignment.attempt) if assignment.attempt and world.leads else None
    place = Place()
    with watched(place), _stop_watch(stop, asked or threading.Event()) as should_stop:
        hooks = Hooks(
            checkpoints=Checkpoints(run.store, run.checkpoints),
            report=history.add,
            flush=history.flush,
            say=say,
            should_stop=should_stop,
        )
        loop = assemble(spec, prepared, world, hooks, assignment.passes, place)
        fit = _fit(loop, spec)
    history.close()
    if world.leads and fit.status != "interrupted":
        _conclude(assignment, prepared, run, loop, fit)
    return fit


def _fit(loop: Loop, spec: Spec) -> Fit:
    """Fits; what the user's own network raises on the way is the user's, and never retried, but for lack of memory."""
    try:
        return loop.fit()
    except RaymillError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise _starved(loop, error) from error
        if not is_from_imported_code(spec.model, error):
            raise
        raise SpecError(
            f"model.import: the network failed by step {loop.progress.global_step + 1}: "
            f"{type(error).__name__}: {' '.join(str(error).split())}.",
            "Correct it and type the same command again; --debug shows the traceback.",
        ) from error


def _starved(loop: Loop, error: BaseException) -> OutOfMemory:
    where = "its accelerator" if loop.world.device.type == "cuda" else "its machine"
    rows = -(-loop.recipe.batch_size // (loop.world.size * loop.passes))
    return OutOfMemory(
        f"Rank {loop.world.rank} needed more memory than {where} has by step {loop.progress.global_step + 1}, with "
        f"about {rows:,} rows at a time: {' '.join(str(error).split())[:200].rstrip('.') or type(error).__name__}.",
        "Lower train.batch_size, use more train.workers or a smaller model, or machines with more memory; the same "
        "command continues.",
    )


def assemble(
    spec: Spec, prepared: Prepared, world: World, hooks: Hooks, passes: int = 1, place: Place | None = None
) -> Loop:
    """A loop over this rank's rows of a prepared dataset, its network freshly initialised from the seed.

    The rank's `place` moves with each shard that is read, and then with the loop.
    """
    place = place or Place()
    dtype = torch.float64 if spec.train.precision == "float64" else torch.float32
    share = {"rank": world.rank, "world_size": world.size}
    order = Order(rows=prepared.splits["train"].rows, batch_size=spec.train.batch_size, seed=spec.train.seed, **share)
    held_out = Order(rows=prepared.splits["validation"].rows, batch_size=1, seed=0, **share)
    torch.manual_seed(spec.train.seed)
    return Loop(
        model=build_model(spec.model, prepared.layout, prepared.task).to(world.device, dtype),
        rows=RowMatrix.load(prepared, "train", order.spans, dtype, place.move).to(world.device),
        validation=RowMatrix.load(prepared, "validation", held_out.spans, dtype, place.move).to(world.device),
        order=order,
        recipe=spec.train,
        learning_rate=spec.train.optimizer.lr or default_learning_rate(spec.model, prepared.task),
        world=world,
        hooks=hooks,
        passes=passes,
        place=place,
    )


def _conclude(assignment: Assignment, prepared: Prepared, run: Run, loop: Loop, fit: Fit) -> None:
    spec = assignment.spec
    validation = _validation_metrics(prepared, loop)
    bundle = run.bundle(fit.steps)
    digest = Bundle.write(
        bundle,
        schema=prepared.schema,
        transform=prepared.transform,
        task=prepared.task,
        model=spec.model,
        spec=scrubbed(spec.to_json()),
        lineage={
            "run": run.name,
            "run_id": assignment.run_id,
            "dataset_uri": without_userinfo(prepared.uri),
            "dataset_fingerprint": prepared.fingerprint,
            "split": prepared.split,
            "git_commit": assignment.git_commit,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
        network=loop.model,
        drift_reference=prepared.drift_reference,
    )
    run.conclude(
        Trained(
            run=run.name,
            run_id=assignment.run_id,
            status=fit.status,
            epochs=fit.epochs,
            steps=fit.steps,
            best_epoch=fit.best_epoch,
            best_loss=fit.best_loss,
            bundle_uri=bundle.uri,
            digest=digest,
            dataset_uri=prepared.uri,
            dataset_fingerprint=prepared.fingerprint,
            validation=validation,
        )
    )


@torch.inference_mode()
def _validation_metrics(prepared: Prepared, loop: Loop) -> dict[str, float | None]:
    """The metrics of the best weights over all validation rows, whatever share this rank trained on."""
    task, device = prepared.task, loop.world.device
    rows = RowMatrix.load(prepared, "validation", [(0, prepared.splits["validation"].rows)], loop.rows.dtype)
    loop.model.eval()
    scores, targets = [], []
    for start in range(0, len(rows), _EVALUATION_ROWS):
        batch = rows.span(start, start + _EVALUATION_ROWS, device)
        logits = loop.model(batch.numbers, batch.categories).cpu()
        scores.append(task.scores(logits.double().numpy()))
        targets.append(batch.target.cpu().numpy())
    target = np.concatenate(targets)
    if task.kind == "regression":
        target = task.restore(target)
    return {name: m.value for name, m in measure(task, target, np.concatenate(scores)).items()}


@contextmanager
def _stop_watch(stop: Stop | None, asked: threading.Event) -> Iterator[Callable[[], bool]]:
    """A thread looks every half second whether the ranks are asked to stop, and ends when it has seen that.

    It is rank 0's: the other ranks hear it from that one.
    """
    ended = threading.Event()

    def watch(stop: Stop) -> None:
        while not ended.wait(_STOP_POLL_S):
            with suppress(StoreError):  # a store that is away is asked again
                if stop.is_asked():
                    asked.set()
                    return

    thread = threading.Thread(target=watch, args=(stop,), name=STOP_WATCH, daemon=True) if stop is not None else None
    if thread is not None:
        thread.start()
    try:
        yield asked.is_set
    finally:
        ended.set()
        if thread is not None:
            thread.join()


def _device(spec: Spec) -> torch.device:
    return torch.device("cuda" if spec.train.gpus_per_worker > 0 else "cpu")


def _threads(spec: Spec) -> int:
    """Threads for this rank: the CPUs it was promised, else the node's cores shared among its ranks."""
    if spec.train.cpus_per_worker is not None:
        return max(1, int(spec.train.cpus_per_worker))
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
