"""Confidence sequences: bounds on means that hold at all looks at once, however often and for however long one looks.

They take sums and counts of values between 0 and 1, in arrays of any one shape, and give bounds in that shape. What
the values are, and what is decided on the bounds, is not known here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

Bounds = tuple[np.ndarray, np.ndarray]
"""The lower and the upper bounds."""

_PRIOR = 0.5
_LOG_PRIOR_BETA = math.log(math.pi)  # of Beta(1/2, 1/2)
_MOST_STEPS = 100
_NEAR_ENOUGH = 1e-7
_LEAST_SLOPE = 1e-12
_LEAST_SHARE = 1e-100
_log_gamma = np.frompyfunc(math.lgamma, 1, 1)


def mean_bounds(sums: ArrayLike, counts: ArrayLike, alpha: float) -> Bounds:
    """Bounds that hold a stream's true mean at every length of it, but for at most a share `alpha` of streams.

    The values lie in [0, 1] and each has the true mean, whatever came before it; they need not be zeros and ones. For a
    mean p the likelihood ratios against p, averaged over Beta(1/2, 1/2), are a non-negative supermartingale that begins
    at 1, so that it ever reaches 1/alpha at most so often (Ville 1939); the bounds are where it would have. The mixture
    is Robbins 1970's, that values between 0 and 1 do for coin tosses Hoeffding 1963's, and both together
    Howard, Ramdas, McAuliffe & Sekhon 2021's. No value yet: from 0 to 1.
    """
    n = np.asarray(counts, np.float64)
    hits = np.clip(np.asarray(sums, np.float64), 0, n)
    misses = n - hits
    log_beta = _log_gammas(hits + _PRIOR) + _log_gammas(misses + _PRIOR) - _log_gammas(n + 2 * _PRIOR)
    some = np.maximum(n, 1)
    loss = (math.log(1 / alpha) + _LOG_PRIOR_BETA - log_beta) / some
    return _logistic(-_farthest_logit(hits / some, loss)), _logistic(_farthest_logit(misses / some, loss))


def rise_bounds(
    sums: ArrayLike, counts: ArrayLike, base_sums: ArrayLike, base_counts: ArrayLike, alpha: float
) -> Bounds:
    """Bounds on a stream's mean minus that of a base, at every pair of lengths; the two may hang together in any way.

    Half of `alpha` is each stream's, which asks nothing of how they are interleaved or of their shares of requests.
    """
    low, high = mean_bounds(sums, counts, alpha / 2)
    base_low, base_high = mean_bounds(base_sums, base_counts, alpha / 2)
    return low - base_high, high - base_low


def shift_bounds(histogram: ArrayLike, base: ArrayLike, alpha: float) -> Bounds:
    """Bounds on the Wasserstein-1 distance of two distributions on [0, 1], from histograms `(..., bins)` of equal bins.

    That distance is the area between the cumulative distributions: how far a value moves on average, at the least.
    Each edge between two bins has an equal part of `alpha`.
    """
    ours, theirs = np.asarray(histogram, np.float64), np.asarray(base, np.float64)
    bins = ours.shape[-1]
    low, high = rise_bounds(*_below_edges(ours), *_below_edges(theirs), alpha / (bins - 1))
    nearest, farthest = np.maximum(np.maximum(low, -high), 0), np.maximum(high, -low)
    return nearest.sum(axis=-1) / bins, farthest.sum(axis=-1) / bins


def _below_edges(histogram: np.ndarray) -> Bounds:
    """How many lie below each inner edge, and of how many: `(..., bins - 1)` both."""
    reached = np.cumsum(histogram, axis=-1)
    below = reached[..., :-1]
    return below, np.broadcast_to(reached[..., -1:], below.shape)


def _farthest_logit(misses: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """The highest logit of a p at which the mean log loss is `loss`, for coins of which a share `misses` is 0.

    Infinite where that share is none. The log loss is convex in the logit and no less than `misses` times it. Newton's
    steps from there come down to the root and never pass it, so that bounds are never too narrow wherever they end.
    """
    some = misses > _LEAST_SHARE
    misses = np.where(some, misses, 1)
    logit = loss / misses
    for _ in range(_MOST_STEPS):
        of_one = np.logaddexp(0, -logit)
        slope = np.maximum(misses - np.exp(-logit - of_one), _LEAST_SLOPE)
        step = np.maximum(of_one + misses * logit - loss, 0) / slope
        logit = logit - step
        if np.all(step <= _NEAR_ENOUGH * (1 + np.abs(logit))):
            break
    return np.where(some, logit, np.inf)


def _logistic(logit: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0, -logit)))


def _log_gammas(values: np.ndarray) -> np.ndarray:
    return np.asarray(_log_gamma(values), np.float64)
