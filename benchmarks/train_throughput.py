"""Rows a second of the train job's own epoch, over a bare torch loop on in-memory tensors with a fresh shuffle.

The limit is the step itself: forward, backward and AdamW on a batch that is there already. Both loops gather each
batch from 500,000 shuffled rows; ours from a memory-mapped row matrix in the order that a resume repeats, with
everything the train job's step does. Same network, optimizer, batch and thread; they take turns and the median of the
ratios counts. Beside them Ray Data's `iter_torch_batches` on the same rows, materialised, with a local shuffle.

    python benchmarks/train_throughput.py [--rows 500000] [--rounds 5] [--no-ray] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from raymill.layout import Layout
from raymill.loop import Hooks, Loop
from raymill.model_spec import MlpSpec
from raymill.models import build_model
from raymill.order import Order
from raymill.rows import RowMatrix
from raymill.task import Task
from raymill.train_spec import ScheduleSpec, TrainSpec
from raymill.world import World

FEATURES, BATCH, LEARNING_RATE = 45, 1024, 0.001
LAYOUT = Layout(numbers=tuple(f"x{i}" for i in range(FEATURES)), categories=())
TASK = Task(kind="classification", target="y", classes=("no", "yes"))
Epoch = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-ray", action="store_true", help="leave Ray Data out, as on a machine without Ray")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    numbers, target = _rows(arguments.rows)
    epochs = {"raymill": _ours(numbers, target), "bare torch": _bare(numbers, target)}
    if not arguments.no_ray:
        epochs["Ray Data"] = _ray(numbers, target)
    rates: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(arguments.rounds):
        for name, epoch in epochs.items():
            rates[name].append(arguments.rows / epoch())
    _report(rates, arguments.json)


def _report(rates: dict[str, list[float]], as_json: bool) -> None:
    bare = rates["bare torch"]
    ratios = {
        name: statistics.median(a / b for a, b in zip(found, bare, strict=True))
        for name, found in rates.items()
        if name != "bare torch"
    }
    if as_json:
        names = {"raymill": "over_bare_torch", "Ray Data": "ray_iter_over_bare_torch"}
        print(json.dumps({names[name]: round(ratio, 3) for name, ratio in ratios.items()}))
        return
    for name, found in rates.items():
        over = f"{ratios[name]:6.2f} of bare torch" if name in ratios else ""
        print(f"{name:12} {statistics.median(found):10,.0f} rows/s {over}")


def _rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(count, FEATURES)).astype(np.float32)
    return numbers, (numbers[:, 0] + rng.normal(size=count) > 0).astype(np.int32)


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(MlpSpec(hidden=(128, 128)), LAYOUT, TASK)


def _ours(numbers: np.ndarray, target: np.ndarray) -> Epoch:
    with tempfile.TemporaryFile() as file:
        words = np.memmap(file, np.int32, "w+", shape=(len(target), FEATURES + 1))
    words[:, :FEATURES], words[:, FEATURES] = numbers.view(np.int32), target
    rows = RowMatrix(words=torch.from_numpy(words), layout=LAYOUT, classification=True)
    loop = Loop(
        model=_network(),
        rows=rows,
        validation=rows,
        order=Order(rows=len(target), batch_size=BATCH, seed=0),
        recipe=TrainSpec(epochs=1000, batch_size=BATCH, schedule=ScheduleSpec(type="constant")),
        learning_rate=LEARNING_RATE,
        world=World(device=torch.device("cpu")),
        hooks=Hooks(),
    )

    def epoch() -> float:
        started_s = time.perf_counter()
        loop._train_epoch(loop.order.epoch(loop.progress.epoch))
        loop.progress.begin_next_epoch()
        return time.perf_counter() - started_s

    return epoch


def _bare(numbers: np.ndarray, target: np.ndarray) -> Epoch:
    x, y = torch.from_numpy(numbers), torch.from_numpy(target).long()
    step = _step()

    def epoch() -> float:
        started_s = time.perf_counter()
        shuffled = torch.randperm(len(y))
        for start in range(0, len(y), BATCH):
            rows = shuffled[start : start + BATCH]
            step(x[rows], y[rows])
        return time.perf_counter() - started_s

    return epoch


def _ray(numbers: np.ndarray, target: np.ndarray) -> Epoch:
    import ray

    ray.init(logging_level="ERROR", log_to_driver=False, include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    tables = [{"x": numbers[i::8], "y": target[i::8].astype(np.int64)} for i in range(8)]
    dataset = ray.data.from_blocks([_block(table) for table in tables]).materialize()
    step = _step()

    def epoch() -> float:
        started_s = time.perf_counter()
        batches = dataset.iter_torch_batches(batch_size=BATCH, local_shuffle_buffer_size=8 * BATCH, prefetch_batches=2)
        for batch in batches:
            step(batch["x"], batch["y"])
        return time.perf_counter() - started_s

    return epoch


def _block(table: dict[str, np.ndarray]) -> object:
    import pandas as pd

    return pd.DataFrame({"x": list(table["x"]), "y": table["y"]})


def _step() -> Callable[[torch.Tensor, torch.Tensor], None]:
    """One training step of the same network with the same optimizer, by torch alone."""
    network = _network().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), fused=True)
    nothing = torch.zeros(BATCH, 0, dtype=torch.int64)

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        loss = torch.nn.functional.cross_entropy(network(x, nothing[: len(x)]), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
