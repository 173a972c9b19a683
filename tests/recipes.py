"""What tests of the training loop share: a loop over a fake dataset, and its epochs."""

from __future__ import annotations

import time
from collections.abc import Callable
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
    """A spec for the fake dataset: a small mlp without dropout, three epochs of batches of 100."""
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
    size: int = 1
    passes: int = 1
    clock: Callable[[], float] = time.monotonic
    epochs: list[EpochRecord] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    steps: int = 0

    def run(self) -> Fit:
        torch.set_num_threads(1)
        self.loop = self._loop()
        return self.loop.fit()

    def _loop(self) -> Loop:
        hooks = Hooks(
            checkpoints=self.checkpoints,
            report=self.epochs.append,
            say=self.said.append,
            should_stop=self._should_stop,
            clock=self.clock,
        )
        return assemble(self.spec, self.prepared, self._world(), hooks, self.passes)

    def _world(self) -> World:
        """The process group's, or one that only claims to be larger."""
        here = torch.device("cpu")
        return World.current(here) if self.size == 1 else World(device=here, size=self.size)

    def _should_stop(self) -> bool:
        """Asked once in each step."""
        self.steps += 1
        return self.steps == self.stop_at

    @property
    def losses(self) -> list[tuple[float, float]]:
        return [(record.train_loss, record.validation_loss) for record in self.epochs]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return self.loop.model.state_dict()
