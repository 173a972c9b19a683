"""What a table was scored as, and by which version of the model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raymill.errors import InternalError
from serving.version import Version


@dataclass(frozen=True, slots=True)
class Scored:
    """`scores` are `(rows, classes)` probabilities or `(rows,)` values of the target, finite all of them."""

    version: Version
    scores: np.ndarray

    def __post_init__(self) -> None:
        """Raises InternalError."""
        if not np.isfinite(self.scores).all():
            raise InternalError("The model's score is not a finite number.", "Train again, and look at its loss curve.")


# Scores a raw table for the request of that id. Raises DataError for what doesn't fit the schema.
Score = Callable[[pa.Table, str], Awaitable[Scored]]
