"""The task: what is predicted, in which classes or units, and how a target becomes a number to learn."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

MOST_CLASSES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A frozen learning task, complete once the train split has been seen.

    classification: `classes` are the labels in index order; a target is an index into them.
    regression: a target is standardised as `(y - mean) / scale`, both from train rows only.
    """

    kind: Literal["classification", "regression"]
    target: str
    at_least: float | None = None
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @property
    def question(self) -> tuple[str, str, float | None]:
        """What a model of the task is asked; answers to different questions can't be compared."""
        return self.kind, self.target, self.at_least

    @property
    def question_in_words(self) -> str:
        return f"{self.kind} of {self.target}" + ("" if self.at_least is None else f" at least {self.at_least:g}")

    @property
    def outputs(self) -> int:
        """Columns of the model's output: logits per class, or one standardised value."""
        return len(self.classes) if self.kind == "classification" else 1

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Regression targets in their own units to `(rows,) float32` in learning units."""
        return ((values - self.mean) / self.scale).astype(np.float32)

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Logits `(rows, outputs)` to scores in float64: probabilities `(rows, classes)` by softmax, or own units."""
        if self.kind == "regression":
            return self.restore(logits[:, 0])
        powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Learning units back to the target's own units, `(rows,) float64`."""
        return values.astype(np.float64) * self.scale + self.mean

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"classes": list(self.classes)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Task:
        return cls(**(data | {"classes": tuple(data["classes"])}))
