"""The counts of one model version during a release: requests, errors, latencies, scores, disagreement, labels.

Sums only, so that those of replicas and of minutes merge into those of a release. What is judged later is summed by
request and not by row: the rows of one request come from one caller and are often alike, so that a thousand of them
are not a thousand pieces of evidence. Each request counts as one, with the mean over its rows. Where scores come from,
and what the counts amount to, is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from raymill.errors import DataError
from raymill.record import record_of
from raymill.task import Task

LATENCY_BOUNDS_S = tuple(round(0.0005 * 2 ** (step / 2), 6) for step in range(30))
"""Upper bounds of the latency histogram's buckets in seconds: 0.5 ms to 11.6 s, two to each doubling; one above."""
SCORE_BINS = 20
_WIDEST_SDS = 2.0
_CHANGED_SDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCounts:
    """What one version did in one stage of a release, in which its share of requests did not change.

    Both versions are counted by the stable one's task: its classes in their order, its target's mean and sd.

    requests: answered or failed, `errors` of them not with scores, refusals too: another schema may refuse more.
    latencies: requests by their seconds, `(31,)`, bucket k above bound k - 1 and up to bound k of LATENCY_BOUNDS_S.
    scores: requests by their rows' scores, `(20,)` equal bins over [0, 1]: of the probability of the second of two
        classes, of the highest of more, of a value from two target sds below the target's mean to two above.
    pairs: requests scored by the stable version too, `paired_rows` in them, `changed_rows` of another class than the
        stable version's, or half a target sd off its value. Counted with the candidate.
    disagreement: over pairs, the loss that the stable version expects of the candidate, 0 to 1 for each: by how much
        its probability of its own class is above that of the candidate's class, or the squared difference in target
        variances, at most 1.
    labelled: requests whose true labels came, `labelled_rows` in them.
    loss: over labelled requests, 0 to 1 for each: the share of rows of another class, or the squared error in target
        variances, at most 1 a row.
    """

    requests: int = 0
    rows: int = 0
    errors: int = 0
    latencies: tuple[int, ...] = (0,) * (len(LATENCY_BOUNDS_S) + 1)
    scores: tuple[float, ...] = (0.0,) * SCORE_BINS
    pairs: int = 0
    paired_rows: int = 0
    changed_rows: int = 0
    disagreement: float = 0.0
    labelled: int = 0
    labelled_rows: int = 0
    loss: float = 0.0

    @classmethod
    def of_answered(cls, task: Task, scores: Sequence[np.ndarray], seconds: Sequence[float]) -> VersionCounts:
        """Counts answered requests, one or more, by the scores of each and how long it took.

        Scores are those of a Predictor. A request with a score that is not a finite number is an error.
        """
        rows = _Rows.of(scores)
        failed = np.bincount(rows.request, ~_all_finite(rows.scores), len(scores)) > 0
        kept = ~failed[rows.request]
        bins = np.minimum((_placed(task, rows.scores[kept]) * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
        return cls(
            requests=len(scores),
            rows=len(rows.scores),
            errors=int(failed.sum()),
            latencies=_latencies(seconds),
            scores=tuple(np.bincount(bins, rows.weight[kept], SCORE_BINS).tolist()),
        )

    @classmethod
    def of_failed(cls, seconds: Sequence[float]) -> VersionCounts:
        """Counts requests that were not answered with scores, by how long each took."""
        return cls(requests=len(seconds), errors=len(seconds), latencies=_latencies(seconds))

    @classmethod
    def of_pairs(cls, task: Task, stable: Sequence[np.ndarray], candidate: Sequence[np.ndarray]) -> VersionCounts:
        """Counts requests, one or more, that both versions scored: for each the scores of both, in one class order."""
        rows = _Rows.of(candidate)
        changed, disagreement = _changes(task, np.concatenate(stable), rows.scores)
        return cls(
            pairs=rows.requests,
            paired_rows=len(changed),
            changed_rows=int(changed.sum()),
            disagreement=float(disagreement @ rows.weight),
        )

    @classmethod
    def of_labels(cls, task: Task, scores: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> VersionCounts:
        """Counts requests, one or more, by the scores and the true targets of their labelled rows.

        Targets are class indices, -1 for a class that the model does not know, or values in the target's own units.
        """
        rows = _Rows.of(scores)
        losses = _losses(task, rows.scores, np.concatenate(targets))
        return cls(labelled=rows.requests, labelled_rows=len(losses), loss=float(losses @ rows.weight))

    def merge(self, other: VersionCounts) -> VersionCounts:
        return VersionCounts(**{f.name: _sum(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)})

    def to_json(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Any, path: str) -> VersionCounts:
        """The counts that `to_json` gave, read from `path`. Raises DataError where another raymill counted them."""
        read = record_of(cls, data, path)
        counts = cls(**{f.name: _frozen(getattr(read, f.name)) for f in fields(cls)})
        if (len(counts.latencies), len(counts.scores)) != (len(LATENCY_BOUNDS_S) + 1, SCORE_BINS):
            raise DataError(
                f"{path} holds the counts of a release by another version of raymill: their histograms have "
                f"{len(counts.latencies)} and {len(counts.scores)} bins.",
                "End that release with that version, or begin it again.",
            )
        return counts


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of requests under each other, each with its request's place and its weight in that request's mean."""

    scores: np.ndarray
    request: np.ndarray
    weight: np.ndarray
    requests: int

    @classmethod
    def of(cls, scores: Sequence[np.ndarray]) -> _Rows:
        """`requests` are those that have a row."""
        sizes = np.array([len(each) for each in scores])
        request = np.repeat(np.arange(len(scores)), sizes)
        return cls(np.concatenate(scores), request, 1 / sizes[request], int(np.count_nonzero(sizes)))


def _all_finite(scores: np.ndarray) -> np.ndarray:
    """Which rows have finite numbers only, `(rows,) bool`."""
    finite: np.ndarray = np.isfinite(scores)
    return np.asarray(finite.all(axis=tuple(range(1, finite.ndim))))


def _placed(task: Task, scores: np.ndarray) -> np.ndarray:
    """One number from 0 to 1 for each row."""
    if task.kind == "regression":
        return np.clip((scores - task.mean) / task.scale / (2 * _WIDEST_SDS) + 0.5, 0, 1)
    placed: np.ndarray = scores[:, 1] if scores.shape[1] == 2 else scores.max(axis=1, initial=0)
    return placed


def _changes(task: Task, stable: np.ndarray, candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows have changed, and the loss that the stable version expects of each; all of it by no finite score.

    Where its own score is none it expects nothing of a class.
    """
    if task.kind == "regression":
        sds = _sds_apart(task, candidate, stable)
        return sds > _CHANGED_SDS, _squared(sds)
    rows, sound = np.arange(len(stable)), _all_finite(candidate)
    theirs, ours = stable.argmax(axis=1), candidate.argmax(axis=1)
    expected = np.where(_all_finite(stable), stable[rows, theirs] - stable[rows, ours], 0.0)
    return (theirs != ours) | ~sound, np.where(sound, expected, 1.0)


def _losses(task: Task, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    if task.kind == "regression":
        return _squared(_sds_apart(task, scores, targets))
    right = (scores.argmax(axis=1) == targets) & _all_finite(scores)
    return np.where(right, 0.0, 1.0)


def _sds_apart(task: Task, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How many target sds values are apart; what is no number is infinitely far."""
    return np.asarray(np.nan_to_num(np.abs(one - other) / task.scale, nan=np.inf))


def _squared(sds: np.ndarray) -> np.ndarray:
    return np.asarray(np.square(np.minimum(sds, 1)))


def _latencies(seconds: Sequence[float]) -> tuple[int, ...]:
    return tuple(np.bincount(np.searchsorted(LATENCY_BOUNDS_S, seconds), minlength=len(LATENCY_BOUNDS_S) + 1).tolist())


def _sum(one: Any, other: Any) -> Any:
    return tuple(a + b for a, b in zip(one, other, strict=True)) if isinstance(one, tuple) else one + other


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
