"""Scores as a table: the columns of a score shard, and back.

Classification: `target` int64 and one float64 column `p0, p1, ...` per class index. Regression: `target` and `score`,
float64, in the target's own units.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def score_table(target: np.ndarray, scores: np.ndarray) -> pa.Table:
    """A score shard of `(rows, classes)` probabilities with class indices, or `(rows,)` values with values."""
    if scores.ndim == 1:
        return pa.table({"target": target.astype(np.float64), "score": scores.astype(np.float64)})
    columns = {f"p{i}": np.ascontiguousarray(scores[:, i], np.float64) for i in range(scores.shape[1])}
    return pa.table({"target": target.astype(np.int64), **columns})


def slice_column(name: str) -> str:
    """The column of a score shard that holds the texts of a raw column to slice by."""
    return f"slice:{name}"


def scores_in(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The target and the scores of a score shard, as `score_table` took them; other columns are left alone."""
    target = table["target"].to_numpy()
    if "score" in table.column_names:
        return target, table["score"].to_numpy()
    classes = sum(name[0] == "p" and name[1:].isdigit() for name in table.column_names)
    return target, np.column_stack([table[f"p{i}"].to_numpy() for i in range(classes)])
