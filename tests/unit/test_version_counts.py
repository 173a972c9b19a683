"""A version's counts are sums over requests, each of which counts once, and merge in any order."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymill.errors import DataError
from raymill.task import Task
from raymill.version_counts import LATENCY_BOUNDS_S, SCORE_BINS, VersionCounts

TWO = Task(kind="classification", target="y", classes=("no", "yes"))
THREE = Task(kind="classification", target="y", classes=("a", "b", "c"))
VALUES = Task(kind="regression", target="y", mean=100.0, scale=10.0)


def two(*yes: float) -> np.ndarray:
    return np.column_stack([1 - np.array(yes), yes])


def filled(bins: tuple[float, ...]) -> dict[int, float]:
    return {k: value for k, value in enumerate(bins) if value}


def test_a_request_counts_once_however_many_rows_it_has() -> None:
    counts = VersionCounts.of_answered(TWO, [two(0.01), two(0.42, 0.99, 1.0, 0.43)], [0.001, 0.02])
    assert (counts.requests, counts.rows, counts.errors) == (2, 5, 0)
    assert filled(counts.scores) == {0: 1.0, 8: 0.5, 19: 0.5}


def test_of_more_classes_the_highest_probability_counts_and_a_value_by_target_sds() -> None:
    three = VersionCounts.of_answered(THREE, [np.array([[0.1, 0.2, 0.7], [0.52, 0.4, 0.08]])], [0.1])
    assert filled(three.scores) == {14: 0.5, 10: 0.5}
    values = VersionCounts.of_answered(VALUES, [np.array([100.0]), np.array([-1e9, 1e9, 111.0, 89.0])], [0.1, 0.1])
    assert filled(values.scores) == {10: 1.0, 0: 0.25, 19: 0.25, 15: 0.25, 4: 0.25}


def test_a_latency_lies_in_the_bucket_that_it_does_not_exceed() -> None:
    seconds = [0.0, LATENCY_BOUNDS_S[0], LATENCY_BOUNDS_S[0] + 1e-9, LATENCY_BOUNDS_S[-1], 60.0]
    assert filled(VersionCounts.of_failed(seconds).latencies) == {0: 2, 1: 1, 29: 1, 30: 1}
    assert (LATENCY_BOUNDS_S[0], LATENCY_BOUNDS_S[-1]) == (0.0005, 11.585238)


def test_a_request_with_a_score_that_is_no_number_is_an_error_without_scores() -> None:
    scores = [np.array([90.0, np.nan]), np.array([np.inf]), np.array([100.0])]
    counts = VersionCounts.of_answered(VALUES, scores, [0.1] * 3)
    assert (counts.requests, counts.rows, counts.errors, filled(counts.scores)) == (3, 4, 2, {10: 1.0})
    failed = VersionCounts.of_failed([0.1, 0.2])
    assert (failed.requests, failed.errors, failed.rows) == (2, 2, 0)


def test_a_request_without_rows_is_a_request_and_no_evidence() -> None:
    none = np.empty((0, 2))
    assert filled(VersionCounts.of_answered(TWO, [none, two(0.5)], [0.1, 0.1]).scores) == {10: 1.0}
    assert VersionCounts.of_answered(TWO, [none], [0.1]).requests == 1
    assert VersionCounts.of_pairs(TWO, [none, two(0.6)], [none, two(0.4)]).pairs == 1
    assert VersionCounts.of_labels(TWO, [none], [np.empty(0, np.int64)]) == VersionCounts()


def test_disagreement_is_what_the_stable_version_expects_to_lose() -> None:
    stable = [two(0.49), two(0.9, 0.9, 0.2, 0.8)]
    candidate = [two(0.51), two(0.1, 0.8, 0.3, 0.6)]
    counts = VersionCounts.of_pairs(TWO, stable, candidate)
    assert (counts.pairs, counts.paired_rows, counts.changed_rows) == (2, 5, 2)
    assert counts.disagreement == pytest.approx(0.02 + 0.8 / 4)


def test_disagreement_on_values_is_in_target_variances() -> None:
    stable, candidate = [np.array([100.0, 100.0]), np.array([50.0])], [np.array([104.0, 94.0]), np.array([90.0])]
    counts = VersionCounts.of_pairs(VALUES, stable, candidate)
    assert (counts.pairs, counts.changed_rows) == (2, 2)
    assert counts.disagreement == pytest.approx((0.16 + 0.36) / 2 + 1)


@pytest.mark.parametrize(("task", "sound"), [(TWO, two(0.2, 0.7)), (VALUES, np.array([95.0, 80.0]))])
def test_what_is_no_number_disagrees_and_is_wrong_as_much_as_anything_can(task: Task, sound: np.ndarray) -> None:
    counts = VersionCounts.of_pairs(task, [sound], [np.full_like(sound, np.nan)])
    assert (counts.changed_rows, counts.disagreement) == (2, 1.0)
    assert VersionCounts.of_labels(task, [np.full_like(sound, np.nan)], [np.array([0, 0])]).loss == 1.0


def test_a_stable_version_without_a_score_expects_nothing_and_spoils_no_sum() -> None:
    stable = np.array([[np.nan, np.nan], [0.9, 0.1]])
    counts = VersionCounts.of_pairs(TWO, [stable], [two(0.7, 0.7)])
    assert counts.disagreement == pytest.approx(0.8 / 2)


def test_loss_is_the_share_of_wrong_rows_or_the_squared_error_in_target_variances() -> None:
    known = VersionCounts.of_labels(TWO, [two(0.9), two(0.9, 0.2, 0.7)], [np.array([0]), np.array([1, 0, -1])])
    assert (known.labelled, known.labelled_rows, known.loss) == (2, 4, pytest.approx(1 + 1 / 3))
    values = VersionCounts.of_labels(VALUES, [np.array([95.0, 500.0])], [np.array([100.0, 100.0])])
    assert (values.labelled, values.loss) == (1, pytest.approx((0.25 + 1) / 2))


def counted(seed: int) -> VersionCounts:
    """The counts of a few requests of a few rows."""
    rng = np.random.default_rng(seed)
    requests = [two(*rng.random(size)) for size in rng.integers(1, 5, rng.integers(1, 6))]
    others = [two(*rng.random(len(each))) for each in requests]
    labels = [rng.integers(0, 2, len(each)) for each in requests]
    parts = [
        VersionCounts.of_answered(TWO, requests, list(rng.exponential(0.1, len(requests)))),
        VersionCounts.of_failed(list(rng.exponential(0.1, 2))),
        VersionCounts.of_pairs(TWO, others, requests),
        VersionCounts.of_labels(TWO, requests, labels),
    ]
    return merged(parts)


def merged(parts: list[VersionCounts]) -> VersionCounts:
    whole = VersionCounts()
    for part in parts:
        whole = whole.merge(part)
    return whole


def close(one: VersionCounts, other: VersionCounts) -> bool:
    return one.to_json() == {
        name: pytest.approx(value) if name in ("scores", "disagreement", "loss") else value
        for name, value in other.to_json().items()
    }


@given(st.lists(st.integers(0, 2**32), min_size=3, max_size=3))
def test_merging_is_associative_and_commutative_and_nothing_changes_nothing(seeds: list[int]) -> None:
    a, b, c = map(counted, seeds)
    assert close(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert a.merge(b) == b.merge(a)
    assert a.merge(VersionCounts()) == a


def test_requests_counted_together_are_those_counted_apart() -> None:
    rng = np.random.default_rng(0)
    requests = [two(*rng.random(size)) for size in (1, 3, 1, 2)]
    seconds = [0.001, 0.002, 0.1, 3.0]
    apart = [VersionCounts.of_answered(TWO, [each], [s]) for each, s in zip(requests, seconds, strict=True)]
    assert close(VersionCounts.of_answered(TWO, requests, seconds), merged(apart))
    apart = [VersionCounts.of_pairs(TWO, [requests[0]], [each[:1]]) for each in requests]
    assert close(VersionCounts.of_pairs(TWO, [requests[0]] * 4, [each[:1] for each in requests]), merged(apart))


@given(st.integers(0, 2**32))
def test_json_gives_back_the_same_counts(seed: int) -> None:
    counts = counted(seed)
    assert VersionCounts.from_json(json.loads(json.dumps(counts.to_json())), "counts.json") == counts


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scores": [0.0] * 10}, r"counts\.json holds the counts .* 31 and 10 bins"),
        ({"requests_seen": 3}, "has a field 'requests_seen'"),
    ],
)
def test_counts_of_another_raymill_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        VersionCounts.from_json(VersionCounts().to_json() | change, "counts.json")


def test_histograms_have_their_stated_bins() -> None:
    counts = counted(1)
    assert (len(counts.latencies), len(counts.scores)) == (len(LATENCY_BOUNDS_S) + 1, SCORE_BINS)
