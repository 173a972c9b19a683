"""A network that waits where it is told, once each: `model: {import: held.build_model}` of a spec beside it.

There each process writes `reached-INDEX-WHO` into a folder, with its process and its node, and goes on when there is
a file `go-INDEX`. So a test does what it does while a job is at that point, however fast anything is. A rank 0 that
has heard meanwhile that it is asked to stop leaves `asked-INDEX`, and whoever is at work after the point `on-INDEX`.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import ray
import torch
import torch.distributed as dist

from raymill.layout import Layout
from raymill.models import Mlp
from raymill.task import Task
from raymill.training import STOP_WATCH

_AT_MOST_S = 900.0
_TRIED_OUT_ROWS = 2  # by whoever builds a network


class Held(Mlp):
    """An Mlp with dropout that waits in training steps, counted from 1 in each process, or while a job scores rows.

    `points` are the steps, and 0 for scoring; a point is waited for when those before it have been let go.
    """

    def __init__(self, layout: Layout, task: Task, folder: Path, points: Sequence[int], dropout: float) -> None:
        super().__init__(layout, task, (32, 32), dropout)
        self._folder, self._points, self._steps = folder, points, 0

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        self._steps += self.training
        scores = not self.training and not dist.is_initialized() and len(numbers) > _TRIED_OUT_ROWS
        if self.training or scores:
            self._look_up(0 if scores else self._steps)
        return super().forward(numbers, categories)

    def _look_up(self, here: int) -> None:
        index = sum((self._folder / f"go-{each}").exists() for each in range(len(self._points)))
        if index:
            (self._folder / f"on-{index - 1}").open("a").close()
        if index < len(self._points) and self._points[index] == here:
            _wait(self._folder, index, dist.get_rank() if here else 0)


def _wait(folder: Path, index: int, rank: int) -> None:
    reached = folder / f"reached-{index}-{rank}"
    place = {"pid": os.getpid(), "node": ray.get_runtime_context().get_node_id()}
    whole = reached.with_suffix(f".{os.getpid()}")
    whole.write_text(json.dumps(place))
    whole.rename(reached)
    until_s = time.monotonic() + _AT_MOST_S
    while not (folder / f"go-{index}").exists():
        if dist.is_initialized() and rank == 0 and _has_heard_a_stop():
            (folder / f"asked-{index}").touch()
        if time.monotonic() > until_s:
            raise TimeoutError(f"nobody said go in {_AT_MOST_S:.0f} s")
        time.sleep(0.05)


def _has_heard_a_stop() -> bool:
    """Whether rank 0 no longer looks for one."""
    return all(thread.name != STOP_WATCH for thread in threading.enumerate())


def build_model(layout: Layout, task: Task, folder: str = "", points: Sequence[int] = (), dropout: float = 0.1) -> Held:
    return Held(layout, task, Path(folder), points, dropout)
