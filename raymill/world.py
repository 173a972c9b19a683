"""The world a training loop runs in: how many ranks there are, and sums over them.

It knows torch.distributed and not who started it: Ray Train, torchrun or nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """This process's place among the ranks, and the device it computes on."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls, device: torch.device) -> World:
        """The world of the initialised process group; of one where there is none."""
        if not dist.is_initialized():
            return cls(device=device)
        return cls(rank=dist.get_rank(), size=dist.get_world_size(), device=device)

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all ranks, in float64."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def maxima(self, values: Sequence[float]) -> list[float]:
        """The largest of each value over all ranks, in float64."""
        if self.size == 1:
            return list(values)
        largest = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return [float(value) for value in largest.tolist()]

    def sum_step(
        self, parameters: Sequence[torch.nn.Parameter], loss: torch.Tensor, stop: bool
    ) -> tuple[torch.Tensor, bool]:
        """Sums gradients in place, and the loss and the votes to stop with them, in a single collective.

        A parameter without a gradient gets a zero one, so that the optimizer does the same in a world of any size.
        """
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        if self.size == 1:
            for parameter, gradient in zip(parameters, grads, strict=True):
                parameter.grad = gradient
            return loss, stop
        extras = torch.stack([loss.to(grads[0].dtype), loss.new_tensor(stop, dtype=grads[0].dtype)])
        flat = torch.cat([*(g.reshape(-1) for g in grads), extras])
        dist.all_reduce(flat)
        *sums, extras = torch.split(flat, [*(g.numel() for g in grads), 2])
        for parameter, gradient in zip(parameters, sums, strict=True):
            parameter.grad = gradient.view_as(parameter)
        return extras[0], bool(extras[1] > 0)

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        """Overwrites every rank's tensors with rank 0's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)
