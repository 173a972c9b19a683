"""Class rows: how many rows each class of a target has in each split, counted piece by piece before classes are known.

A hash deals the splits, so a class of few rows may miss the train split, and what has no train row can't be learnt.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from raymill.errors import DataError
from raymill.split import SPLITS
from raymill.task import MOST_CLASSES

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRows:
    """Rows in train, validation and test by label; None where there are more than 1,000 labels."""

    rows: dict[str, tuple[int, int, int]] | None = field(default_factory=dict)

    @classmethod
    def of(cls, labels: pa.Array, splits: np.ndarray) -> ClassRows:
        """Counts labels (strings, none missing) by their split `(rows,) int8`."""
        encoded = labels.dictionary_encode()
        words = encoded.dictionary.to_pylist()
        if len(words) > MOST_CLASSES:
            return cls(rows=None)
        cells = encoded.indices.to_numpy().astype(np.int64) * len(SPLITS) + splits
        counts = np.bincount(cells, minlength=len(words) * len(SPLITS)).reshape(-1, len(SPLITS)).tolist()
        return cls(rows={word: (a, b, c) for word, (a, b, c) in zip(words, counts, strict=True)})

    def merge(self, other: ClassRows) -> ClassRows:
        """These rows and those of another piece."""
        if self.rows is None or other.rows is None:
            return ClassRows(rows=None)
        merged = dict(self.rows)
        for label, (train, validation, test) in other.rows.items():
            mine = merged.get(label, (0, 0, 0))
            merged[label] = (mine[0] + train, mine[1] + validation, mine[2] + test)
        return ClassRows(rows=merged if len(merged) <= MOST_CLASSES else None)

    def require_in_train(self, target: str) -> None:
        """Raises DataError naming the classes that have rows, and none of them in train."""
        absent = {label: rows for label, rows in sorted((self.rows or {}).items()) if not rows[0]}
        if not absent:
            return
        named = [
            f"{label!r} ({validation} in validation, {test} in test)"
            for label, (_, validation, test) in list(absent.items())[:_MOST_NAMED]
        ]
        more = f" and {len(absent) - _MOST_NAMED} more" if len(absent) > _MOST_NAMED else ""
        raise DataError(
            f"The target {target!r} has classes of which no row is in the train split: {', '.join(named)}{more}.",
            "Give them more rows, drop their rows or merge them with another class, or change data.split "
            "(its seed, shares or column).",
        )
