"""Soundness: whether a training's losses are numbers, since which step they are not, and what may have made them so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from raymill.order import EpochOrder
from raymill.rows import RowMatrix

_ROWS_AT_ONCE = 8192
_INPUTS_NAMED = 3


@dataclass(slots=True)
class Soundness:
    """Counts, on the device and without waiting for it, the steps of an epoch up to the first unsound one."""

    steps: torch.Tensor
    first_step: int = 0

    @classmethod
    def on(cls, device: torch.device) -> Soundness:
        return cls(torch.zeros((), dtype=torch.int64, device=device))

    def begin(self, step: int) -> None:
        """Begins to count at a step of an epoch."""
        self.first_step = step
        self.steps.zero_()

    def note(self, loss_sum: torch.Tensor) -> None:
        """Takes in the epoch's sum of losses after a step: once it is no number it stays so."""
        self.steps += torch.isfinite(loss_sum)

    @property
    def unsound_step(self) -> int:
        """The epoch's first step, from 0, whose loss was no number."""
        return self.first_step + int(self.steps)

    def suspects(self, order: EpochOrder) -> np.ndarray:
        """This rank's rows in the unsound step and in the one before it, which may have spoilt the weights."""
        last = self.unsound_step
        return np.concatenate([order.step(step) for step in range(max(last - 1, 0), last + 1)])


def largest_inputs(
    matrix: RowMatrix, rows: np.ndarray, over_ranks: Callable[[Sequence[float]], Sequence[float]]
) -> str:
    """The number columns with the largest absolute values among rows `(n,)` of all ranks, largest first."""
    names = matrix.layout.numbers
    largest = torch.zeros(len(names), dtype=torch.float64)
    for part in np.array_split(rows, 1 + len(rows) // _ROWS_AT_ONCE):
        if len(part) and names:
            numbers = matrix.gather(part, torch.device("cpu")).numbers.double().abs()
            largest = torch.maximum(largest, numbers.nan_to_num(nan=math.inf, posinf=math.inf).amax(0))
    found = np.array(over_ranks(largest.tolist()))
    order = np.argsort(-found, kind="stable")[:_INPUTS_NAMED]
    return ", ".join(f"{names[i]} {found[i]:.3g}" for i in order) or "none"
