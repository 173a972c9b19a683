"""What tests of the training loop share: a loop over a fake dataset, and its epochs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from raymill.checkpoint import Checkpoints
from raymill.history import EpochRecord
from raymill.loop import Fit, Hooks, Loop
from raymill.spec import Spec
from raymill.training import assemble
from raymill.world import World
from tests.fakes import FakePrepared


def spec_of(model: dict[str, Any] | None = None, kind: str = "classification", **train: Any) -> Spec:
    """A spec for the fake dataset: a small mlp without dropout, three epochs of batches of 100, no schedule surprises."""
    recipe = {"epochs": 3, "batch_size": 100, "seed": 5, "precision": "float64", "checkpoint_every": "3600s"}
    return Spec.model_validate(
        {
            "name": "fake",
            "task": {"type": kind, "target": "y"},
            "data": {"source": "fake.csv"},
            "model": model or {"type": "mlp", "hidden": [16, 16]},
            "train": recipe | train,
        }
    )


@dataclass(kw_only=True)
class Training:
    """One process's fit, with all that it said and reported."""

    spec: Spec
    prepared: FakePrepared
    checkpoints: Checkpoints | None = None
    stop_at: int | None = None
    epochs: list[EpochRecord] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    def run(self) -> Fit:
        torch.set_num_threads(1)
        self.loop = self._loop()
        return self.loop.fit()

    def _loop(self) -> Loop:
        hooks = Hooks(
            checkpoints=self.checkpoints,
            report=self.epochs.append,
            say=self.said.append,
            on_step=self.steps.append,
            should_stop=lambda: self.stop_at is not None and len(self.steps) + 1 >= self.stop_at,
        )
        return assemble(self.spec, self.prepared, World.current(torch.device("cpu")), hooks)

    @property
    def losses(self) -> list[tuple[float, float]]:
        return [(record.train_loss, record.validation_loss) for record in self.epochs]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return self.loop.model.state_dict()
