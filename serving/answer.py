"""The answer: scores as the JSON text of `predictions`.

It knows the task and its classes, no HTTP. A number is written as the shortest text that reads back as the same
float64.
"""

from __future__ import annotations

import json
from itertools import chain

import numpy as np

from raymill.errors import InternalError
from raymill.task import Task


class AnswerEncoder:
    """Writes `[{"prediction": "benign", "probabilities": {"benign": 0.98, ...}}, ...]`, or values for regression.

    All rows are one formatting of one template, because a bytecode per cell would cost more than the network.
    """

    def __init__(self, task: Task) -> None:
        self._labels = [json.dumps(label) for label in task.classes]
        cells = ",".join(f"{label.replace('%', '%%')}:%r" for label in self._labels)
        self._row = '{"prediction":%s,"probabilities":{' + cells + "}}" if cells else '{"prediction":%r}'

    def encode(self, scores: np.ndarray) -> str:
        """The JSON array for scores `(rows, classes)` or `(rows,)`. Raises InternalError for one that is not finite."""
        if not np.isfinite(scores).all():
            raise InternalError("The model's score is not a finite number.", "Train again, and look at its loss curve.")
        template = ",".join([self._row] * len(scores))
        return f"[{template % tuple(self._values(scores))}]"

    def _values(self, scores: np.ndarray) -> list[object]:
        if not self._labels:
            return list(scores.tolist())
        predicted = map(self._labels.__getitem__, scores.argmax(axis=1).tolist())
        return list(chain.from_iterable(zip(predicted, *scores.T.tolist(), strict=True)))
