"""The judge says of a candidate's counts what its rules say, in one sentence, and never blames one for being equal."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymill.judge import Hold, Promote, RollBack, evidence, judge
from raymill.release_rules import ReleaseRules
from raymill.version_counts import SCORE_BINS, VersionCounts

RULES = ReleaseRules()
UNLABELLED = ReleaseRules(max_loss_rise=None)
LIMITS = ("max_error_rise", "max_slow_rise", "max_loss_rise", "max_disagreement", "max_score_shift")
HOUR_S = 3600.0


def counts(
    requests: int, *, errors: float = 0.0, slow: float = 0.005, scores: int = 4, pairs: float = 0.0,
    disagreement: float = 0.01, labelled: float = 0.0, loss: float = 0.1,
) -> VersionCounts:  # fmt: skip
    """Counts whose shares are those given; `slow` is above the bucket of the rest, all scores lie in one bin."""
    return VersionCounts(
        requests=requests,
        rows=2 * requests,
        errors=round(errors * requests),
        latencies=(0, requests - round(slow * requests), round(slow * requests)) + (0,) * 28,
        scores=tuple(float(requests) if k == scores else 0.0 for k in range(SCORE_BINS)),
        pairs=round(pairs * requests),
        paired_rows=round(2 * pairs * requests),
        disagreement=disagreement * pairs * requests,
        labelled=round(labelled * requests),
        labelled_rows=round(2 * labelled * requests),
        loss=loss * round(labelled * requests),
    )


def decided(
    candidate: VersionCounts, stable: VersionCounts | None = None, lasted_s: float = HOUR_S, **rules: Any
) -> Promote | Hold | RollBack:
    """What is said of a candidate beside a stable version of ten times its requests."""
    return judge(stable or counts(10 * candidate.requests), candidate, ReleaseRules(**rules), lasted_s=lasted_s)


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (counts(400, errors=0.1, pairs=1), "share of failed requests higher by 0.04"),
        (counts(400, slow=0.3, pairs=1), "share of slow requests higher by 0.1"),
        (counts(400, pairs=1, disagreement=0.2), "loss that the stable version expects 0.1"),
        (counts(400, pairs=1, scores=14), "scores moved by 0.4"),
        (counts(3, errors=1.0), "share of failed requests higher by"),
    ],
)
def test_what_is_beyond_a_limit_is_rolled_back_with_the_bounds_and_the_limit(
    candidate: VersionCounts, said: str
) -> None:
    decision = decided(candidate, counts(4000), lasted_s=1)
    assert isinstance(decision, RollBack)
    assert said in decision.reason
    assert asdict(decision)["decision"] == "roll_back"


def test_a_roll_back_says_how_far_which_rule_and_on_how_much() -> None:
    decision = decided(counts(1000, errors=0.5, pairs=1))
    assert decision == RollBack(
        reason="beyond a limit: share of failed requests higher by 0.4264 to 0.5724 (max_error_rise 0.005); "
        "after 1000 requests of the candidate and 10000 of the stable version"
    )


def test_an_equal_candidate_is_held_until_enough_is_seen_and_then_promoted() -> None:
    decisions = [decided(counts(requests, pairs=1)) for requests in (0, 10, 1000, 2000, 3000, 100_000)]
    assert [type(each) for each in decisions] == [Hold, Hold, Hold, Hold, Promote, Promote]
    assert decisions[2].reason.startswith("not yet enough: share of failed requests higher by 0 to 0.0109 (max_error")
    assert decisions[4].reason.startswith("within every limit: share of failed requests higher by 0 to 0.0038 (max_")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"lasted_s": 599.0}, "599 s have passed (min_duration_s 600)"),
        ({"min_requests": 3001}, "the candidate has answered 3000 requests (min_requests 3001)"),
        ({"max_disagreement": None}, "nothing says how good its answers are (no true label, max_disagreement null)"),
    ],
)
def test_what_is_within_all_limits_is_held_for_what_is_missing(more: dict[str, Any], said: str) -> None:
    decision = decided(counts(3000, pairs=1), **more)
    assert isinstance(decision, Hold)
    assert decision.reason.startswith(f"not yet enough: {said};")


def test_without_rows_that_both_scored_and_without_labels_nothing_is_promoted() -> None:
    assert "loss that the stable version expects 0 to 1 " in decided(counts(10**6)).reason


def with_labels(requests: int, labelled: float, loss: float, **more: Any) -> Promote | Hold | RollBack:
    candidate = counts(requests, pairs=1, labelled=labelled, loss=loss, disagreement=0.2, scores=14)
    return decided(candidate, counts(10 * requests, labelled=labelled), **more)


def test_labels_overrule_what_the_stable_version_believes() -> None:
    promoted = with_labels(4000, 1, 0.05)
    assert isinstance(promoted, Promote)
    assert "loss by true labels higher by 0 to 0" in promoted.reason and "moved" not in promoted.reason
    worse = with_labels(4000, 1, 0.25, max_disagreement=0.5, max_score_shift=None)
    assert isinstance(worse, RollBack) and "loss by true labels higher by 0.1" in worse.reason


def test_labels_that_have_not_decided_yet_overrule_nothing() -> None:
    assert isinstance(with_labels(4000, 0.01, 0.05), RollBack)
    undecided = with_labels(4000, 0.01, 0.05, max_disagreement=0.5, max_score_shift=None)
    assert isinstance(undecided, Hold) and undecided.reason.startswith("not yet enough: loss by true labels")
    assert isinstance(with_labels(4000, 0.01, 0.05, max_loss_rise=None), RollBack)


def test_labels_alone_can_promote() -> None:
    candidate = counts(4000, labelled=1)
    assert isinstance(decided(candidate, counts(40_000, labelled=1), max_disagreement=None), Promote)


@pytest.mark.parametrize("rule", [rule for rule in LIMITS if rule != "max_error_rise"])
def test_a_limit_of_null_is_not_judged(rule: str) -> None:
    labelled = float(rule == "max_loss_rise")
    bad = counts(2000, slow=0.5, pairs=1, disagreement=0.4, scores=14, labelled=labelled, loss=0.4)
    others: dict[str, Any] = {each: 0.999 for each in LIMITS if each != rule}
    alone: dict[str, Any] = {rule: None}
    stable = counts(20_000, labelled=labelled)
    assert isinstance(decided(bad, stable, **others), RollBack)
    assert not isinstance(decided(bad, stable, **others | alone), RollBack)


def test_the_slow_bound_is_the_bucket_of_the_stable_versions_99th_percentile() -> None:
    stable = replace(counts(10_000), latencies=(9000, 850, 100, 50) + (0,) * 27)

    def beyond(*latencies: int) -> bool:
        candidate = replace(counts(1000), latencies=latencies + (0,) * (31 - len(latencies)))
        found = {each.rule: each for each in evidence(stable, candidate, RULES)}
        return bool(found["max_slow_rise"].beyond)

    assert not beyond(0, 0, 1000)
    assert not beyond(940, 0, 0, 60)
    assert beyond(800, 0, 0, 200) and beyond(800, *[0] * 29, 200)


@st.composite
def some_counts(draw: st.DrawFn) -> VersionCounts:
    """Counts of whatever size, with disagreement within its limit."""
    requests, labelled, pairs = (draw(st.integers(0, 10**6)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    latencies = rng.multinomial(requests, [1 / 31] * 31)
    scores = rng.multinomial(requests, [1 / SCORE_BINS] * SCORE_BINS)
    return VersionCounts(
        requests=requests,
        errors=round(draw(st.sampled_from([0.0, 0.001, 0.01, 0.5])) * requests),
        latencies=tuple(latencies.tolist()),
        scores=tuple(scores.astype(float).tolist()),
        pairs=pairs,
        disagreement=draw(st.floats(0, 0.05)) * pairs,
        labelled=labelled,
        loss=draw(st.floats(0, 1)) * labelled,
    )


@given(some_counts(), some_counts())
def test_evidence_that_is_equal_in_both_never_rolls_back_however_much_is_added(
    seen: VersionCounts, more: VersionCounts
) -> None:
    for both in (seen, seen.merge(more), seen.merge(more).merge(more)):
        assert not isinstance(judge(both, both, RULES, lasted_s=HOUR_S), RollBack)


@given(some_counts(), some_counts(), st.integers(2, 50))
def test_more_of_the_same_never_takes_a_roll_back_back(stable: VersionCounts, candidate: VersionCounts, n: int) -> None:
    if isinstance(judge(stable, candidate, UNLABELLED, lasted_s=HOUR_S), RollBack):
        assert isinstance(judge(times(stable, n), times(candidate, n), UNLABELLED, lasted_s=HOUR_S), RollBack)


def times(counts: VersionCounts, n: int) -> VersionCounts:
    return VersionCounts(
        **{
            name: tuple(n * each for each in value) if isinstance(value, tuple) else n * value
            for name, value in asdict(counts).items()
        }
    )


@given(some_counts(), some_counts())
def test_the_decision_is_what_the_evidence_says(stable: VersionCounts, candidate: VersionCounts) -> None:
    found = evidence(stable, candidate, UNLABELLED)
    enough = candidate.requests >= UNLABELLED.min_requests and all(each.within for each in found)
    said = RollBack if any(each.beyond for each in found) else Promote if enough else Hold
    assert type(judge(stable, candidate, UNLABELLED, lasted_s=HOUR_S)) is said
