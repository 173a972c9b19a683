"""What has been answered: one value for each predict request, which everybody hears who observes an endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Answered:
    """A request's rows and their scores, by the version that made them, and how long and when (`time.time()`).

    `rows` are checked JSON objects or a table that fits the model's schema, in either case as many as `scores`,
    `(rows, classes)` or `(rows,) float64`. Nobody changes them.
    """

    request_id: str
    version: str
    rows: list[dict[str, Any]] | pa.Table
    scores: np.ndarray
    seconds: float
    at_s: float


class Observer(Protocol):
    """Who hears of answers, on the event loop: in microseconds, and without ever raising."""

    def saw(self, answered: Answered) -> None: ...
