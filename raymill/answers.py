"""The answers: a model's scores as the columns that people read, the same in a batch and from MLflow.

It knows tasks and scores, and neither how scores were made nor what holds the columns.
"""

from __future__ import annotations

import numpy as np

from raymill.task import Task

PREDICTION = "prediction"


def answer_columns(task: Task, scores: np.ndarray) -> dict[str, np.ndarray]:
    """Scores as columns by name: `prediction`, and for classes `p_<class>` (float64) in class order."""
    columns = {PREDICTION: labels_of(task, scores)}
    return columns | {name: scores[:, index] for index, name in enumerate(probability_columns(task))}


def probability_columns(task: Task) -> list[str]:
    """The names of the probability columns in class order; none for regression."""
    return [f"p_{label}" for label in task.classes]


def labels_of(task: Task, scores: np.ndarray) -> np.ndarray:
    """The predicted class labels (arg-max, ties to the first class) or the values themselves."""
    if task.kind == "classification":
        labels: np.ndarray = np.asarray(task.classes, dtype=object)[scores.argmax(axis=1)]
        return labels
    return scores
