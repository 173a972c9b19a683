"""Bounds hold a mean at every look at once, at the rate that they state, and close in on it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymill.confidence import mean_bounds, rise_bounds, shift_bounds

# With a true rate of 5%, 47 or more of 600 come by chance about once in 500.
STREAMS, ALPHA, TOO_MANY = 600, 0.05, 47


def log_mixture(hits: float, n: float, p: float) -> float:
    """The log of the mean likelihood ratio against p, over Beta(1/2, 1/2), by its definition."""
    beta = math.lgamma(hits + 0.5) + math.lgamma(n - hits + 0.5) - math.lgamma(n + 1)
    return beta - 2 * math.lgamma(0.5) - hits * math.log(p) - (n - hits) * math.log1p(-p)


@pytest.mark.parametrize(("hits", "n"), [(1, 2), (5, 1000), (200, 1000), (0.37, 12.5), (999, 1000), (2e8, 1e9)])
@pytest.mark.parametrize("alpha", [0.1, 1e-6])
def test_at_the_bounds_the_evidence_against_a_mean_has_grown_to_one_in_alpha(
    hits: float, n: float, alpha: float
) -> None:
    for end in mean_bounds(hits, n, alpha):
        assert log_mixture(hits, n, float(end)) == pytest.approx(math.log(1 / alpha), rel=1e-3)


def test_nothing_is_known_before_the_first_value_and_a_bound_without_evidence_is_the_end() -> None:
    low, high = mean_bounds([0, 0, 50], [0, 50, 50], 0.01)
    assert list(low) == [0, 0, pytest.approx(1 - high[1])]
    assert list(high) == [1, pytest.approx(0.133, abs=0.001), 1]


@given(st.floats(0, 1), st.integers(1, 10**9), st.floats(1e-9, 0.4))
def test_bounds_lie_around_the_observed_mean_and_are_wider_for_a_smaller_alpha(
    mean: float, n: int, alpha: float
) -> None:
    (low, high), (lower, higher) = mean_bounds(mean * n, n, alpha), mean_bounds(mean * n, n, alpha / 10)
    assert 0 <= lower <= low <= mean + 1e-9 and mean - 1e-9 <= high <= higher <= 1


def test_bounds_of_many_streams_are_those_of_each() -> None:
    hits, n = np.array([[0, 3], [70, 2]]), np.array([[4, 3], [100, 1000]])
    low, high = mean_bounds(hits, n, 0.01)
    for at in np.ndindex(hits.shape):
        alone = mean_bounds(hits[at], n[at], 0.01)
        assert (low[at], high[at]) == (pytest.approx(float(alone[0])), pytest.approx(float(alone[1])))


def ever_missed(values: np.ndarray, mean: float) -> int:
    """In how many streams `(streams, length)` the bounds miss the mean after any of the values."""
    low, high = mean_bounds(values.cumsum(axis=1), np.arange(1, values.shape[1] + 1), ALPHA)
    return int(((mean < low) | (mean > high)).any(axis=1).sum())


@pytest.mark.parametrize("mean", [0.01, 0.4])
def test_coins_looked_at_after_every_toss_are_missed_at_most_at_the_stated_rate(mean: float) -> None:
    tosses = np.random.default_rng(1).random((STREAMS, 600)) < mean
    assert ever_missed(tosses.astype(float), mean) < TOO_MANY


def test_values_between_the_ends_are_missed_more_rarely_still() -> None:
    values = np.random.default_rng(2).beta(2, 6, (STREAMS, 400))
    assert ever_missed(values, 0.25) < TOO_MANY / 4


def test_a_plain_interval_looked_at_as_often_errs_many_times_as_much() -> None:
    tosses = np.random.default_rng(1).random((STREAMS, 600)) < 0.4
    n = np.arange(1, 601)
    mean = tosses.cumsum(axis=1) / n
    errs = np.abs(mean - 0.4) > 1.96 * np.sqrt(0.4 * 0.6 / n)
    assert errs[:, 30:].any(axis=1).sum() > 4 * TOO_MANY


def test_a_rise_is_bounded_by_both_streams_whatever_their_lengths() -> None:
    low, high = rise_bounds([30, 30, 0], [100, 100, 0], [900, 0, 50], [9000, 0, 100], 0.01)
    assert 0.03 < low[0] < 0.2 < high[0] < 0.45
    assert low[1] < -0.5 and high[2] > 0.3


def test_a_rise_of_streams_that_hang_together_is_missed_at_most_at_the_stated_rate() -> None:
    rng = np.random.default_rng(3)
    base = rng.random((STREAMS, 300)) < 0.1
    ours = base | (rng.random(base.shape) < 0.05)
    n = np.arange(1, 301)
    low, high = rise_bounds(ours.cumsum(axis=1), n, base.cumsum(axis=1), n, ALPHA)
    assert ((low > 0.045) | (high < 0.045)).any(axis=1).sum() < TOO_MANY


def test_a_shift_is_the_distance_that_the_bins_are_apart() -> None:
    one, other = np.zeros(20), np.zeros(20)
    one[3] = other[7] = 1e7
    low, high = shift_bounds(one, other, 0.01)
    assert low == pytest.approx(4 / 20, abs=1e-3) and high == pytest.approx(4 / 20, abs=1e-3)
    assert shift_bounds(one, one, 0.01)[0] == 0
    assert shift_bounds(np.zeros(20), np.zeros(20), 0.01) == (0, pytest.approx(19 / 20))
