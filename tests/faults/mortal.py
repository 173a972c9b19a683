"""A network that sends a signal at a given training step, once: named by `model: {import: ...}`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch
import torch.distributed as dist

from raymill.layout import Layout
from raymill.models import Mlp
from raymill.task import Task


class Mortal(Mlp):
    """An Mlp with dropout; in training step `step` its rank `rank` sends a signal, unless `marker` exists."""

    def __init__(
        self, layout: Layout, task: Task, rank: int, step: int, marker: str, victim: str, signal_number: int
    ) -> None:
        super().__init__(layout, task, (32, 32), 0.1)
        self._rank, self._step, self._marker, self._victim = rank, step, Path(marker), victim
        self._signal_number, self._steps = signal_number, 0

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        if self.training:
            self._steps += 1
            here = dist.get_rank() if dist.is_initialized() else 0
            if here == self._rank and self._steps == self._step and not self._marker.exists():
                self._marker.touch()
                self._strike()
        return super().forward(numbers, categories)

    def _strike(self) -> None:
        if self._signal_number == 0:
            raise ValueError("the user's own mistake")
        if not self._victim:
            os.kill(os.getpid(), self._signal_number)
            return
        os.kill(int(Path(self._victim).read_text()), self._signal_number)
        while True:  # until Ray ends its driver's workers: not one step further
            signal.pause()


def build_model(
    layout: Layout,
    task: Task,
    rank: int = 0,
    step: int = 0,
    marker: str = "",
    victim: str = "",
    signal_number: int = 9,
) -> Mortal:
    """The network; `victim` is a file with the process id to signal, or empty for its own; signal 0 is an exception."""
    return Mortal(layout, task, rank, step, marker, victim, signal_number)
