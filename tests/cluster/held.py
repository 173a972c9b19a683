"""A network that waits at a given training step, once: `model: {import: held.build_model}` of a spec beside it.

In that step each rank writes `reached-RANK` into a folder, with its process and its node, and goes on when there is a
file `go`. So a test does what it does while every rank is in that step, however fast anything is.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import ray
import torch
import torch.distributed as dist

from raymill.layout import Layout
from raymill.models import Mlp
from raymill.task import Task

_AT_MOST_S = 300.0


class Held(Mlp):
    """An Mlp with dropout; steps are counted from 1 in each process, and 0 holds nobody."""

    def __init__(self, layout: Layout, task: Task, folder: Path, step: int) -> None:
        super().__init__(layout, task, (32, 32), 0.1)
        self._folder, self._step, self._steps = folder, step, 0

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        self._steps += self.training
        if self.training and self._steps == self._step:
            _hold(self._folder, dist.get_rank() if dist.is_initialized() else 0, self._step)
        return super().forward(numbers, categories)


def _hold(folder: Path, rank: int, step: int) -> None:
    reached = folder / f"reached-{rank}"
    if reached.exists():
        return
    place = {"pid": os.getpid(), "node": ray.get_runtime_context().get_node_id(), "step": step}
    whole = reached.with_suffix(".partial")
    whole.write_text(json.dumps(place))
    whole.rename(reached)
    until_s = time.monotonic() + _AT_MOST_S
    while not (folder / "go").exists():
        if time.monotonic() > until_s:
            raise TimeoutError(f"nobody said go in {_AT_MOST_S:.0f} s")
        time.sleep(0.05)


def build_model(layout: Layout, task: Task, folder: str = "", step: int = 0) -> Held:
    return Held(layout, task, Path(folder), step)
