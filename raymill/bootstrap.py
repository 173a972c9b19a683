"""The paired bootstrap: how far the gain of one model over another would move with other test rows.

Rows are drawn with replacement and both models are measured on the same draw (Efron & Tibshirani 1993, ch. 13 and
16). Rows are taken as independent: where they come in groups the interval is too narrow. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from raymill.metrics import COUNTED, log_losses, score_groups
from raymill.spec import LOWER_IS_BETTER
from raymill.task import Task

MAX_ROWS = 200_000
_BLOCK_CELLS = 65_536

Statistic = Callable[[np.ndarray], np.ndarray]
"""From draws `(resamples, rows) int64` of row numbers to the metric of each draw, NaN where undefined."""


def resampled_gains(
    metric: str,
    task: Task,
    target: np.ndarray,
    candidate: np.ndarray,
    champion: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """The candidate's gain in each resample, `(resamples,) float64`: above 0 is better, NaN is undefined.

    Above 200,000 rows a fixed random 200,000 of them are resampled; the deviations from their own gain are scaled
    by sqrt(200,000 / rows) and laid around the gain over all rows, so that time and memory stay bounded and the
    interval still has the width of all rows (rescaled m-out-of-n bootstrap: Politis, Romano & Wolf 1999).
    """
    rng = np.random.default_rng(seed)
    rows = len(target)
    if rows <= MAX_ROWS:
        return _draw_gains(_gain(metric, task, target, candidate, champion), rows, resamples, rng)
    some = np.sort(rng.choice(rows, MAX_ROWS, replace=False))
    gain = _gain(metric, task, target[some], candidate[some], champion[some])
    deviations = _draw_gains(gain, MAX_ROWS, resamples, rng) - gain(np.arange(MAX_ROWS)[None])
    overall = _gain(metric, task, target, candidate, champion)(np.arange(rows)[None])
    gains: np.ndarray = overall + deviations * np.sqrt(MAX_ROWS / rows)
    return gains


def _draw_gains(gain: Statistic, rows: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    block = max(1, _BLOCK_CELLS // rows)
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    return np.concatenate([gain(rng.integers(0, rows, size=(size, rows))) for size in sizes])


def _gain(metric: str, task: Task, target: np.ndarray, candidate: np.ndarray, champion: np.ndarray) -> Statistic:
    ours, theirs = statistic(metric, task, target, candidate), statistic(metric, task, target, champion)
    if metric in LOWER_IS_BETTER:
        return lambda draws: theirs(draws) - ours(draws)
    return lambda draws: ours(draws) - theirs(draws)


def statistic(metric: str, task: Task, target: np.ndarray, scores: np.ndarray) -> Statistic:
    """A metric as a function of which rows are drawn, everything that doesn't depend on the draw done once."""
    if metric == "roc_auc":
        return _area(target, scores)
    if metric in COUNTED:
        return _ratio(metric, target, scores)
    if metric == "log_loss":
        return _mean(log_losses(target, scores))
    errors = scores - target
    if metric == "mae":
        return _mean(np.abs(errors))
    if metric == "rmse":
        squared = _mean(errors**2)
        return lambda draws: np.sqrt(squared(draws))
    return _r2(target, errors)


def _mean(losses: np.ndarray) -> Statistic:
    return lambda draws: losses[draws].mean(axis=1)


def _r2(target: np.ndarray, errors: np.ndarray) -> Statistic:
    # Centred first, so that the difference of the two sums of squares below keeps its digits.
    centred, squared = target - target.mean(), errors**2

    def r2(draws: np.ndarray) -> np.ndarray:
        drawn = centred[draws]
        spread = (drawn**2).mean(axis=1) - drawn.mean(axis=1) ** 2
        constant = drawn.min(axis=1) == drawn.max(axis=1)
        share = np.divide(squared[draws].mean(axis=1), spread, out=np.full(len(draws), np.nan), where=~constant)
        values: np.ndarray = 1 - share
        return values

    return r2


def _ratio(metric: str, target: np.ndarray, scores: np.ndarray) -> Statistic:
    guess, size = scores.argmax(axis=1), scores.shape[1]
    # A wrong row is counted in a class of its own, past the last, and then left out.
    correct = np.where(guess == target, target, size)

    def ratio(draws: np.ndarray) -> np.ndarray:
        hits = _count(correct[draws], size + 1)[:, :size]
        return COUNTED[metric](hits, _count(guess[draws], size), _count(target[draws], size))

    return ratio


def _count(codes: np.ndarray, size: int) -> np.ndarray:
    """How often each code in `[0, size)` comes in each row: `(resamples, rows)` to `(resamples, size)`."""
    resamples = len(codes)
    cells = codes + (np.arange(resamples) * size)[:, None]
    return np.bincount(cells.ravel(), minlength=resamples * size).reshape(resamples, size)


def _area(target: np.ndarray, scores: np.ndarray) -> Statistic:
    first = 1 if scores.shape[1] == 2 else 0
    areas = [_class_area(target == c, scores[:, c]) for c in range(first, scores.shape[1])]
    return lambda draws: np.mean([area(draws) for area in areas], axis=0)


def _class_area(positive: np.ndarray, scores: np.ndarray) -> Statistic:
    """The AUC of one class: sorted once, then counted and summed cumulatively for each draw."""
    groups, size = score_groups(scores)
    codes = groups + size * positive

    def area(draws: np.ndarray) -> np.ndarray:
        counts = _count(codes[draws], 2 * size)
        negative, drawn = counts[:, :size], counts[:, size:]
        # Twice the negatives below a score, ties counting half, so that the sums stay whole numbers.
        below = 2 * np.cumsum(negative, axis=1) - negative
        wins = np.einsum("rg,rg->r", drawn, below)
        pairs = 2.0 * drawn.sum(axis=1) * negative.sum(axis=1)
        shares: np.ndarray = np.divide(wins, pairs, out=np.full(len(draws), np.nan), where=pairs > 0)
        return shares

    return area
