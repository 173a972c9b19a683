"""The progress of a training, and how it becomes a checkpoint together with the weights and the optimizer, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import nn

from raymill.adamw import AdamW
from raymill.checkpoint import Checkpoint
from raymill.models import load_weights


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where training is and what it has seen: with the weights and the optimizer, all that a checkpoint holds."""

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    loss_sum: float | torch.Tensor = 0.0
    rows: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_loss: float = math.inf
    stopped_early: bool = False

    def begin_next_epoch(self) -> None:
        self.epoch += 1
        self.step = self.rows = 0
        self.loss_sum = self.seconds = 0.0


def pack(progress: Progress, model: nn.Module, optimizer: AdamW, best: dict[str, torch.Tensor]) -> Checkpoint:
    """A checkpoint of all that training needs to go on; `best` are the weights of the best epoch."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    tensors |= {f"optimizer.{name}": value for name, value in optimizer.tensors().items()}
    facts = {f.name: getattr(progress, f.name) for f in fields(Progress)}
    facts["loss_sum"] = float(facts["loss_sum"])
    return Checkpoint(step=progress.global_step, tensors=tensors, facts=facts)


def unpack(checkpoint: Checkpoint, model: nn.Module, optimizer: AdamW) -> tuple[Progress, dict[str, torch.Tensor]]:
    """The progress and the best weights of a checkpoint, whose weights and optimizer's state are put in place.

    Raises SpecError where the network has changed since.
    """
    load_weights(model, _under("model", checkpoint.tensors))
    optimizer.restore(_under("optimizer", checkpoint.tensors))
    return Progress(**checkpoint.facts), _under("best", checkpoint.tensors)


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name[len(prefix) + 1 :]: t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
