"""A network that waits at given training steps until a file is there: named by `model: {import: ...}`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import torch

from raymill.layout import Layout
from raymill.models import Mlp
from raymill.task import Task

_AT_MOST_S = 300.0


class Pausing(Mlp):
    """A small Mlp; `pauses` names for a step, counted from 1, the file that it waits for."""

    def __init__(self, layout: Layout, task: Task, pauses: Mapping[str, str]) -> None:
        super().__init__(layout, task, (8,), 0.0)
        self._pauses, self._steps = pauses, 0

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        if self.training:
            self._steps += 1
            until_s = time.monotonic() + _AT_MOST_S
            file = self._pauses.get(str(self._steps))
            while file is not None and not Path(file).exists() and time.monotonic() < until_s:
                time.sleep(0.02)
        return super().forward(numbers, categories)


def build_model(layout: Layout, task: Task, pauses: Mapping[str, str]) -> Pausing:
    return Pausing(layout, task, pauses)
