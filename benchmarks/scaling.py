"""Rows a second of the training loop on two workers, over one, each with one thread.

The loop is the train job's own (`raymill/loop.py`), its ranks plain processes with gloo over loopback, as Ray Train
would start them. The global batch is the same for both: two workers have half of each. Rows a second are those of the
epochs as the history has them, the first left out: starting processes, importing and reading rows count for nothing.
One and two workers take turns; the median of the rounds' ratios counts. It needs two idle cores.

    python benchmarks/scaling.py [--batch 8192] [--hidden 512 512 512] [--epochs 4] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from raymill.history import EpochRecord
from raymill.layout import Layout
from raymill.loop import Hooks, Loop
from raymill.model_spec import MlpSpec
from raymill.models import build_model
from raymill.order import Order
from raymill.rows import RowMatrix
from raymill.task import Task
from raymill.train_spec import ScheduleSpec, TrainSpec
from raymill.world import World

FEATURES, STEPS, VALIDATION_ROWS, COLLECTIVES = 45, 8, 256, 20
LAYOUT = Layout(numbers=tuple(f"x{i}" for i in range(FEATURES)), categories=())
TASK = Task(kind="classification", target="y", classes=("no", "yes"))


@dataclass(frozen=True)
class Setting:
    """What is trained: a network, a global batch and how long."""

    hidden: tuple[int, ...]
    batch: int
    epochs: int

    @property
    def rows(self) -> int:
        return self.batch * STEPS


@dataclass(frozen=True)
class Measured:
    """One world's training: medians over its epochs but the first, and what its collective costs by itself."""

    rows_per_s: float
    step_ms: float
    gradient_mb: float
    reduce_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8192, help="global: over all workers together")
    parser.add_argument("--hidden", type=int, nargs="+", default=[512, 512, 512])
    parser.add_argument("--epochs", type=int, default=4, help=f"of {STEPS} steps; the first is not counted")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.epochs < 2:
        parser.error("--epochs must be 2 or more: the first is not counted")
    setting = Setting(tuple(arguments.hidden), arguments.batch, arguments.epochs)
    found: dict[int, list[Measured]] = {1: [], 2: []}
    for _ in range(arguments.rounds):
        for workers, measured in found.items():
            measured.append(_train(setting, workers))
    _report(found, arguments.json)


def _report(found: dict[int, list[Measured]], as_json: bool) -> None:
    ratio = statistics.median(two.rows_per_s / one.rows_per_s for one, two in zip(found[1], found[2], strict=True))
    if as_json:
        step_ms = statistics.median(one.step_ms for one in found[1])
        print(json.dumps({"two_over_one": round(ratio, 3), "step_ms": round(step_ms, 1)}))
        return
    for workers, measured in found.items():
        rate = statistics.median(m.rows_per_s for m in measured)
        step_ms = statistics.median(m.step_ms for m in measured)
        print(f"{workers} worker{'s' if workers > 1 else ' '} {rate:10,.0f} rows/s  {step_ms:7.1f} ms a step")
    reduce_ms = statistics.median(m.reduce_ms for m in found[2])
    print(f"two over one {ratio:.2f}; an all-reduce of {found[2][0].gradient_mb:.1f} MB by itself {reduce_ms:.1f} ms")


def _train(setting: Setting, workers: int) -> Measured:
    """Trains in so many processes, which end with it.

    Forked from a server: such a process ends without Python's finalization, in which gloo's threads now and then abort.
    """
    multiprocessing.set_forkserver_preload(["torch._dynamo", "__main__"])  # imported once for all
    with tempfile.TemporaryDirectory(prefix="raymill-scaling-") as folder:
        mp.start_processes(_rank, (workers, Path(folder), setting), nprocs=workers, start_method="forkserver")
        return Measured(**json.loads((Path(folder) / "measured.json").read_text()))


def _rank(rank: int, workers: int, folder: Path, setting: Setting) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=workers)
    epochs: list[EpochRecord] = []
    loop = _loop(setting, World.current(torch.device("cpu")), Hooks(report=epochs.append))
    loop.fit()
    size = sum(parameter.numel() for parameter in loop.parameters)
    reduce_s = _reduce_s(size)
    if rank == 0:
        measured = {
            "rows_per_s": statistics.median(epoch.rows_per_s for epoch in epochs[1:]),
            "step_ms": statistics.median(1000 * epoch.seconds / epoch.steps for epoch in epochs[1:]),
            "gradient_mb": 4 * size / 1e6,
            "reduce_ms": 1000 * reduce_s,
        }
        (folder / "measured.json").write_text(json.dumps(measured))
    dist.destroy_process_group()


def _loop(setting: Setting, world: World, hooks: Hooks) -> Loop:
    order = Order(rows=setting.rows, batch_size=setting.batch, seed=0, rank=world.rank, world_size=world.size)
    torch.manual_seed(0)
    return Loop(
        model=build_model(MlpSpec(hidden=setting.hidden), LAYOUT, TASK),
        rows=_rows(sum(stop - start for start, stop in order.spans), world.rank),
        validation=_rows(VALIDATION_ROWS // world.size, world.rank),
        order=order,
        recipe=TrainSpec(
            epochs=setting.epochs, batch_size=setting.batch, schedule=ScheduleSpec(type="constant"), precision="float32"
        ),
        learning_rate=0.001,
        world=world,
        hooks=hooks,
    )


def _rows(count: int, rank: int) -> RowMatrix:
    """Rows with a learnable target, of this rank's own: what they hold is nothing to their speed."""
    rng = np.random.default_rng(rank)
    numbers = rng.normal(size=(count, FEATURES)).astype(np.float32)
    target = (numbers[:, :1] + rng.normal(size=(count, 1)) > 0).astype(np.int32)
    words = torch.from_numpy(np.concatenate([numbers.view(np.int32), target], axis=1))
    return RowMatrix(words=words, layout=LAYOUT, classification=True)


def _reduce_s(size: int) -> float:
    """The seconds that a sum of so many float32 over all ranks takes when all are there: a median."""
    flat, taken_s = torch.zeros(size), []
    for _ in range(COLLECTIVES):
        dist.barrier()
        started_s = time.perf_counter()
        dist.all_reduce(flat)
        taken_s.append(time.perf_counter() - started_s)
    return statistics.median(taken_s)


if __name__ == "__main__":
    main()
