"""The Predictor: from raw rows to scores, the same in training's last check, evaluation, batch and serving."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from raymill.bundle import Bundle
from raymill.schema import Schema
from raymill.task import Task
from raymill.transform import Transform

_CHUNK_ROWS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A frozen transform and network. Safe to share between threads; memory is bounded by 8,192 rows at a time."""

    schema: Schema
    transform: Transform
    task: Task
    network: nn.Module
    digest: str

    @classmethod
    def load(cls, uri: str, digest: str | None = None) -> Predictor:
        """Loads a bundle by its URI and, where given, holds it to a digest. Raises DataError, StoreError."""
        return cls.of(Bundle.read(uri, digest))

    @classmethod
    def of(cls, bundle: Bundle) -> Predictor:
        return cls(
            schema=bundle.schema,
            transform=bundle.transform,
            task=bundle.task,
            network=bundle.network(),
            digest=bundle.digest,
        )

    def predict(self, table: pa.Table) -> np.ndarray:
        """Scores raw rows, conformed to the schema first.

        Returns `(rows, classes) float64` probabilities, or `(rows,) float64` in the target's own units.
        Raises DataError naming the column and row of a cell that doesn't fit the schema.
        """
        conformed = self.schema.conform(table)
        starts = range(0, max(conformed.num_rows, 1), _CHUNK_ROWS)
        return np.concatenate([self._scores(conformed.slice(start, _CHUNK_ROWS)) for start in starts])

    def _scores(self, table: pa.Table) -> np.ndarray:
        features = self.transform.apply(table)
        dtype = next((p.dtype for p in self.network.parameters()), torch.float32)
        with torch.inference_mode():
            logits = self.network(
                torch.from_numpy(features.numbers).to(dtype), torch.from_numpy(features.categories).long()
            )
        return scores_of(self.task, logits)


def scores_of(task: Task, logits: torch.Tensor) -> np.ndarray:
    """Logits `(rows, outputs)` to scores: softmax in float64, or the target's own units."""
    if task.kind == "classification":
        probabilities: np.ndarray = torch.softmax(logits.double(), dim=1).numpy()
        return probabilities
    return task.restore(logits[:, 0].numpy())
