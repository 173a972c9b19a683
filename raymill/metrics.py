"""Metrics: how good scores are, from sums and counts divided once, and an exact AUC from the kept scores.

Definitions equal scikit-learn's. Where a metric is undefined its value is None and it says why:
scikit-learn's zero with a warning is no measurement. Knows nothing of jobs, files or where scores come from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from raymill.errors import DataError
from raymill.spec import METRICS
from raymill.task import Task

_EPSILON = float(np.finfo(np.float64).eps)
_NAMED_CLASSES = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric's value, or None and the reason why it has none."""

    value: float | None
    reason: str | None = None


def measure(task: Task, target: np.ndarray, scores: np.ndarray) -> dict[str, Measured]:
    """Every metric of the task for one array of scores, in the order of METRICS."""
    tally = Tally(task)
    tally.add(target, scores)
    return tally.result()


class Tally:
    """Sums over scored rows that merge in any grouping; merge in a fixed order for bitwise equal results.

    Keeps the scores themselves for the AUC: 8 bytes a row for two classes, 8 a row and class for more.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.rows = 0
        self._sums: _Sums = _ClassSums(task.classes) if task.kind == "classification" else _ValueSums()

    @property
    def confusion(self) -> np.ndarray | None:
        """`(classes, classes) int64` rows by true class, then predicted class; None for regression."""
        return self._sums.confusion

    def add(self, target: np.ndarray, scores: np.ndarray) -> None:
        """Adds rows: class indices and `(rows, classes)` probabilities, or values and `(rows,)` scores.

        Raises DataError if a score is NaN or infinite.
        """
        scores = np.asarray(scores, dtype=np.float64)
        _check_finite(scores)
        if len(target):
            self.rows += len(target)
            self._sums.add(np.asarray(target), scores)

    def merge(self, other: Tally) -> None:
        """Adds the rows of another tally of the same task."""
        self.rows += other.rows
        self._sums.merge(other._sums)

    def result(self) -> dict[str, Measured]:
        """Every metric of the task by name, in the order of METRICS."""
        names = METRICS[self.task.kind]
        if self.rows == 0:
            return {name: Measured(None, "there are no rows") for name in names}
        measured = self._sums.result(self.rows)
        return {name: measured[name] for name in names}


def _check_finite(scores: np.ndarray) -> None:
    finite = np.isfinite(scores)
    if finite.all():
        return
    bad = len(scores) - int((finite.all(axis=1) if finite.ndim == 2 else finite).sum())
    raise DataError(
        f"{bad:,} of {len(scores):,} rows have a score that is NaN or infinite.",
        "A model with such weights can't be judged: lower train.optimizer.lr or set train.gradient_clip.",
    )


def roc_auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """The chance that a positive row outscores a negative one, ties counting half; NaN if either is absent.

    The Mann-Whitney statistic by midranks: `positive (rows,) bool`, `scores (rows,) float64`.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    groups, count = score_groups(scores)
    sizes = np.bincount(groups, minlength=count)
    midranks = np.cumsum(sizes) - (sizes - 1) / 2
    rank_sum = float(midranks[groups[positive]].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def score_groups(scores: np.ndarray) -> tuple[np.ndarray, int]:
    """For each row the index of its score among the distinct scores, rising; and how many those are."""
    order = np.argsort(scores)
    ordered = scores[order]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    groups = np.empty(len(scores), dtype=np.int64)
    groups[order] = np.cumsum(starts) - 1
    return groups, int(starts.sum())


def log_losses(target: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Each row's negative log probability of its class, clipped to `[eps, 1 - eps]` as scikit-learn does."""
    own = scores[np.arange(len(target)), target]
    losses: np.ndarray = -np.log(np.clip(own, _EPSILON, 1 - _EPSILON))
    return losses


def _divide(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
    return ratio


def _macro(top: np.ndarray, bottom: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The mean of `top / bottom` over the present classes; NaN if one of those has a zero below."""
    ratios = np.where(present, _divide(top, bottom), 0.0)
    return _divide(ratios.sum(axis=-1), present.sum(axis=-1))


# Each takes counts (..., classes) of correct, predicted and actual rows by class; NaN is undefined.
# A class that is neither predicted nor actual is left out of a macro mean, as scikit-learn leaves it out.
COUNTED: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": lambda c, p, a: _divide(c.sum(axis=-1), a.sum(axis=-1)),
    "precision": lambda c, p, a: _divide(c[..., 1], p[..., 1]),
    "recall": lambda c, p, a: _divide(c[..., 1], a[..., 1]),
    "f1": lambda c, p, a: _divide(2 * c[..., 1], p[..., 1] + a[..., 1]),
    "precision_macro": lambda c, p, a: _macro(c, p, p + a > 0),
    "recall_macro": lambda c, p, a: _macro(c, a, p + a > 0),
    "f1_macro": lambda c, p, a: _macro(2 * c, p + a, p + a > 0),
}


class _Sums(ABC):
    """What is summed for one kind of task."""

    confusion: np.ndarray | None = None

    @abstractmethod
    def add(self, target: np.ndarray, scores: np.ndarray) -> None: ...

    @abstractmethod
    def merge(self, other: Any) -> None: ...

    @abstractmethod
    def result(self, rows: int) -> dict[str, Measured]: ...


class _ClassSums(_Sums):
    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self.confusion: np.ndarray = np.zeros((len(classes), len(classes)), dtype=np.int64)
        self.loss = 0.0
        self.kept: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, target: np.ndarray, scores: np.ndarray) -> None:
        size = len(self.classes)
        cells = target * size + scores.argmax(axis=1)
        self.confusion += np.bincount(cells, minlength=size * size).reshape(size, size)
        self.loss += float(log_losses(target, scores).sum())
        # A copy, since a view would keep the other column too.
        self.kept.append((target, scores[:, 1:].copy() if size == 2 else scores))

    def merge(self, other: _ClassSums) -> None:
        self.confusion = self.confusion + other.confusion
        self.loss += other.loss
        self.kept.extend(other.kept)

    def result(self, rows: int) -> dict[str, Measured]:
        correct, predicted, actual = self._counts()
        measured = {"roc_auc": self._roc_auc(actual), "log_loss": Measured(self.loss / rows)}
        for name, ratio in COUNTED.items():
            if name in {"precision", "recall", "f1"} and len(self.classes) != 2:
                measured[name] = Measured(None, "defined for two classes")
                continue
            value = float(ratio(correct, predicted, actual))
            measured[name] = Measured(None, self._why(name)) if np.isnan(value) else Measured(value)
        return measured

    def _counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.confusion.diagonal(), self.confusion.sum(axis=0), self.confusion.sum(axis=1)

    def _roc_auc(self, actual: np.ndarray) -> Measured:
        if (actual == 0).any():
            return Measured(None, f"no row is of class {self._names(actual == 0)}")
        target = np.concatenate([target for target, _ in self.kept])
        scores = np.concatenate([scores for _, scores in self.kept])
        first = len(self.classes) - scores.shape[1]
        areas = [roc_auc(target == first + i, scores[:, i]) for i in range(scores.shape[1])]
        return Measured(float(np.mean(areas)))

    def _why(self, name: str) -> str:
        _, predicted, actual = self._counts()
        if name == "f1":
            return f"no row is, or is predicted to be, of class {self.classes[1]!r}"
        never, what = (actual, "is") if name.startswith("recall") else (predicted, "is predicted to be")
        if name.endswith("_macro"):
            return f"no row {what} of class {self._names((never == 0) & (predicted + actual > 0))}"
        return f"no row {what} of class {self.classes[1]!r}"

    def _names(self, mask: np.ndarray) -> str:
        names = [repr(self.classes[i]) for i in np.flatnonzero(mask)]
        more = f" and {len(names) - _NAMED_CLASSES} more" if len(names) > _NAMED_CLASSES else ""
        return ", ".join(names[:_NAMED_CLASSES]) + more


class _ValueSums(_Sums):
    """The spread is merged as in Chan, Golub & LeVeque 1979, so that no large mean cancels it."""

    def __init__(self) -> None:
        self.rows = 0
        self.absolute = self.squared = self.mean = self.spread = 0.0
        self.lowest, self.highest = np.inf, -np.inf

    def add(self, target: np.ndarray, scores: np.ndarray) -> None:
        batch = _ValueSums()
        errors = scores - target
        batch.rows = len(target)
        batch.absolute = float(np.abs(errors).sum())
        batch.squared = float(errors @ errors)
        batch.mean = float(target.mean(dtype=np.float64))
        batch.spread = float(((target - batch.mean) ** 2).sum())
        batch.lowest, batch.highest = float(target.min()), float(target.max())
        self.merge(batch)

    def merge(self, other: _ValueSums) -> None:
        rows = self.rows + other.rows
        if rows == 0:
            return
        step = other.mean - self.mean
        self.spread += other.spread + step * step * self.rows * other.rows / rows
        self.mean += step * other.rows / rows
        self.absolute += other.absolute
        self.squared += other.squared
        self.lowest, self.highest = min(self.lowest, other.lowest), max(self.highest, other.highest)
        self.rows = rows

    def result(self, rows: int) -> dict[str, Measured]:
        constant = self.lowest == self.highest
        return {
            "r2": Measured(None, f"the target is {self.mean:g} in every row")
            if constant
            else Measured(1 - self.squared / self.spread),
            "rmse": Measured(float(np.sqrt(self.squared / rows))),
            "mae": Measured(self.absolute / rows),
        }
