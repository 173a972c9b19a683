"""The judge's error rates, measured: simulated releases that are looked at all the time, and twenty with real models.

The simulated ones ask `evidence`, whose counts may be arrays: `(releases, looks)` here, for a thousand in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from raymill.judge import Hold, Promote, RollBack, evidence, judge
from raymill.release_rules import ReleaseRules
from raymill.task import Task
from raymill.version_counts import SCORE_BINS, VersionCounts

RULES = ReleaseRules()
RELEASES = 1000
# With a true rate of 1%, the rules' own alpha, 20 or more of 1,000 come by chance about once in 300.
TOO_MANY = 20
# Of the candidate's requests: after each of the first, then whenever there are a sixth more, up to 20,000.
LOOKS = np.unique(np.concatenate([np.arange(1, 20), np.geomspace(20, 20_000, 45).astype(int)]))
STABLE_OVER_CANDIDATE = 9
LATENCIES = np.array([0.5, 0.3, 0.195, 0.005] + [0.0] * 27)
Rates = dict[str, Any]
EQUAL: Rates = {"errors": 0.01, "slow": 0.0, "loss": 0.2, "levels": [0, 0.2, 0.8], "shares": [0.93, 0.06, 0.01]}
AT_THE_LIMITS: Rates = {"errors": 0.015, "slow": 0.05, "loss": 0.25, "levels": [0, 1], "shares": [0.95, 0.05]}


def bin_shares(bins: tuple[int, ...]) -> np.ndarray:
    """Scores that lie in a few bins, in each as often."""
    return np.bincount(bins, minlength=SCORE_BINS) / len(bins)


def drawn(looks: np.ndarray, releases: int, p: Any, rng: np.random.Generator) -> np.ndarray:
    """How many of the requests so far were of each kind, `(releases, looks, kinds)`."""
    return np.stack([rng.multinomial(n, p, releases) for n in np.diff(looks, prepend=0)], axis=1).cumsum(axis=1)


def version(
    looks: np.ndarray, rng: np.random.Generator, *, errors: float, slow: float, loss: float, levels: list[float],
    shares: list[float], scores: tuple[int, ...] = (4, 9), releases: int = RELEASES,
) -> VersionCounts:  # fmt: skip
    """A version's counts at each look, `(releases, looks)`; its disagreement has one of some levels."""
    requests = np.broadcast_to(looks, (releases, len(looks)))
    latencies = LATENCIES * (1 - slow / 0.995) + np.eye(31)[5] * slow * (1 + 0.005 / 0.995)
    counts: Any = {
        "requests": requests,
        "errors": drawn(looks, releases, [errors, 1 - errors], rng)[..., 0],
        "latencies": drawn(looks, releases, latencies, rng),
        "scores": drawn(looks, releases, bin_shares(scores), rng),
        "pairs": requests,
        "disagreement": drawn(looks, releases, shares, rng) @ np.array(levels),
        "labelled": requests,
        "loss": drawn(looks, releases, [loss, 1 - loss], rng)[..., 0],
    }
    return VersionCounts(**counts)


def beside_stable(seed: int, looks: np.ndarray = LOOKS, **rates: Any) -> tuple[VersionCounts, VersionCounts]:
    """A stable version with the equal rates, and a candidate with others."""
    rng = np.random.default_rng(seed)
    size = {"releases": rates.get("releases", RELEASES)}
    return version(STABLE_OVER_CANDIDATE * looks, rng, **EQUAL | size), version(looks, rng, **EQUAL | rates)


def ever_beyond(pair: tuple[VersionCounts, VersionCounts], rules: ReleaseRules) -> int:
    """In how many releases a limit is shown to be passed at any look."""
    return int(np.any([each.beyond for each in evidence(*pair, rules)], axis=0).any(axis=1).sum())


UNSHIFTED = ReleaseRules(max_score_shift=None)


def test_an_equal_candidate_is_never_rolled_back_in_a_thousand_releases() -> None:
    assert ever_beyond(beside_stable(1, **EQUAL), UNSHIFTED) == 0


def test_a_candidate_at_all_limits_at_once_is_rolled_back_or_promoted_at_most_at_the_stated_rate() -> None:
    """Where both errors come most easily."""
    found = evidence(*beside_stable(2, **AT_THE_LIMITS), UNSHIFTED)
    beyond, within = [each.beyond for each in found], [each.within for each in found]
    assert np.any(beyond, axis=0).any(axis=1).sum() < TOO_MANY
    assert all(each.any(axis=1).sum() < TOO_MANY for each in within)


def test_a_candidate_whose_scores_moved_by_the_limit_is_rolled_back_at_most_at_the_stated_rate() -> None:
    only = ReleaseRules(max_slow_rise=None, max_loss_rise=None, max_disagreement=None)
    moved = beside_stable(3, LOOKS[::6], **EQUAL | {"scores": (4, 15)})
    assert ever_beyond(moved, only) < TOO_MANY


@pytest.mark.parametrize(
    ("rule", "most", "worse"),
    [
        ("max_disagreement", 500, {"levels": [0, 0.8], "shares": [0.8, 0.2]}),
        ("max_disagreement", 2000, {"levels": [0, 0.5], "shares": [0.8, 0.2]}),
        ("max_loss_rise", 1500, {"loss": 0.36}),
        ("max_error_rise", 1500, {"errors": 0.05}),
        ("max_slow_rise", 500, {"slow": 0.2}),
    ],
)
def test_nine_in_ten_worse_candidates_are_rolled_back_within_so_many_requests(
    rule: str, most: int, worse: Rates
) -> None:
    pair = beside_stable(4, **EQUAL | worse, releases=200)
    found = next(each for each in evidence(*pair, UNSHIFTED) if each.rule == rule)
    assert found.beyond.any(axis=1).all()
    after = LOOKS[found.beyond.argmax(axis=1)]
    assert np.quantile(after, 0.9) <= most


Model = Callable[[np.ndarray], np.ndarray]
TWO = Task(kind="classification", target="y", classes=("no", "yes"))


def rows_of(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and noisy labels: one in six is not what the row makes likely."""
    x = rng.normal(size=(rows, 4))
    return x, (x[:, 0] * x[:, 1] + x[:, 2] + rng.logistic(0, 0.3, rows) > 0).astype(np.int64)


@cache
def trained(seed: int, *, flipped: bool) -> Model:
    """A network of random features, trained on rows of its own; labels may be flipped for 20% of the space."""
    rng = np.random.default_rng(seed)
    x, y = rows_of(rng, 3000)
    if flipped:
        y = np.where(x[:, 3] > 0.8416, 1 - y, y)
    weights, offsets = rng.normal(size=(4, 60)), rng.normal(size=60)
    fitted = LogisticRegression(C=0.1, tol=0.001).fit(np.tanh(x @ weights + offsets), y)
    return lambda rows: np.asarray(fitted.predict_proba(np.tanh(rows @ weights + offsets)))


def canary(stable: Model, candidate: Model, seed: int, *, labels: bool) -> Promote | Hold | RollBack:
    """What is decided of a canary of 10%, looked at after each 200 of its first 6,000 requests."""
    rng = np.random.default_rng(seed)
    theirs = ours = VersionCounts()
    for look in range(1, 31):
        x, y = rows_of(rng, 2000)
        seconds = list(rng.gamma(4, 0.001, 2000))
        base, new = [row[None] for row in stable(x)], [row[None] for row in candidate(x[:200])]
        theirs = theirs.merge(VersionCounts.of_answered(TWO, base[200:], seconds[200:]))
        ours = ours.merge(VersionCounts.of_answered(TWO, new, seconds[:200]))
        ours = ours.merge(VersionCounts.of_pairs(TWO, base[:200], new))
        if labels:
            theirs = theirs.merge(VersionCounts.of_labels(TWO, base[200:], list(y[200:, None])))
            ours = ours.merge(VersionCounts.of_labels(TWO, new, list(y[:200, None])))
        decision = judge(theirs, ours, RULES, lasted_s=60.0 * look)
        if not isinstance(decision, Hold):
            break
    return decision


@pytest.mark.parametrize("labels", [False, True])
def test_of_20_seeds_all_flipped_models_are_rolled_back_and_no_equal_one(labels: bool) -> None:
    for seed in range(20):
        stable, equal, flipped = (trained(seed + n, flipped=n == 200) for n in (0, 100, 200))
        assert isinstance(canary(stable, flipped, seed, labels=labels), RollBack)
        assert isinstance(canary(stable, equal, seed, labels=labels), Promote)
