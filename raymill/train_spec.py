"""The spec's train section: the recipe, and how many workers follow it."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from raymill.section import Count, Mistake, Section

# By a piece of work, a training worker, or the baselines: less than one, so that an endpoint that holds half a CPU of
# a small machine never blocks them.
CPUS_ASKED = 0.5


class OptimizerSpec(Section):
    type: Literal["adamw"] = "adamw"
    lr: float | None = Field(None, gt=0, description="peak learning rate; default by model")
    weight_decay: float = Field(0.0, ge=0)
    beta2: float = Field(0.95, gt=0, lt=1)


class ScheduleSpec(Section):
    type: Literal["coslog4", "cosine", "constant"] = "coslog4"
    warmup: float = Field(0.05, ge=0, lt=1, description="share of all steps spent warming up (not with coslog4)")


class EarlyStoppingSpec(Section):
    patience: Count = Field(description="epochs without a better validation loss before training ends")


class WorkersSpec(Section):
    """As many as there is room for: fewer when a node dies or another job waits, more when nodes come."""

    min: Count = 1
    max: Count

    @model_validator(mode="after")
    def _ordered(self) -> WorkersSpec:
        if self.max < self.min:
            raise Mistake(("max",), f"{self.max} is less than min, {self.min}")
        return self


def _workers_form(value: Any) -> str:
    return "<range>" if isinstance(value, dict | WorkersSpec) else "<number>"


class TrainSpec(Section):
    epochs: Count = 100
    batch_size: Count = Field(256, description="global: over all workers together")
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    gradient_clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    workers: Annotated[
        Annotated[Count, Tag("<number>")] | Annotated[WorkersSpec, Tag("<range>")], Discriminator(_workers_form)
    ] = Field(1, description="processes that train together, or {min, max} for as many as there is room for")
    cpus_per_worker: float | None = Field(
        None,
        gt=0,
        description="default: asks Ray for half a CPU, and uses the node's cores divided by its workers",
    )
    gpus_per_worker: float = Field(0, ge=0)
    early_stopping: EarlyStoppingSpec | None = None
    checkpoint_every: str | Count = Field("60s", description="seconds with an s, or a number of steps")
    precision: Literal["auto", "float32", "float64", "bf16"] = "auto"
    seed: int = Field(0, ge=0, lt=2**63)

    @field_validator("checkpoint_every", mode="before")
    @classmethod
    def _cadence(cls, value: Any) -> str | int:
        if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?s", value) and 0 < float(value[:-1]) < math.inf:
            return value
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        raise ValueError(f"write seconds as 60s or steps as 500, not {value!r}")

    @property
    def least_workers(self) -> int:
        return self.workers if isinstance(self.workers, int) else self.workers.min

    @property
    def most_workers(self) -> int:
        return self.workers if isinstance(self.workers, int) else self.workers.max

    @property
    def cpus_asked(self) -> float:
        """What each worker asks Ray for."""
        return self.cpus_per_worker or CPUS_ASKED

    @property
    def checkpoint_every_s(self) -> float | None:
        return float(self.checkpoint_every[:-1]) if isinstance(self.checkpoint_every, str) else None

    @property
    def checkpoint_every_steps(self) -> int | None:
        return self.checkpoint_every if isinstance(self.checkpoint_every, int) else None
