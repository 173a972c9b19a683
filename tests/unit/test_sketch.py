"""Sketches are exact while small, bounded when large, and the same bytes for the same pieces."""

from __future__ import annotations

import pickle
from functools import reduce

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymill.sketch import EXACT_CATEGORIES, KEPT_CATEGORIES, POINTS, Categories, Distinct, Quantiles


def quantiles(values: np.ndarray) -> Quantiles:
    return Quantiles.of(values, np.ones(len(values), np.int64))


def categories(texts: list[str | None]) -> Categories:
    return Categories.of(pa.array(texts, pa.string()), np.ones(len(texts), np.int64))


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200),
    st.lists(st.floats(-1e6, 1e6), max_size=200),
    st.floats(0, 1),
)
def test_quantiles_of_few_values_equal_numpys(first: list[float], second: list[float], share: float) -> None:
    merged = quantiles(np.array(first)).merge(quantiles(np.array(second, dtype=float)))
    assert merged.at(share) == pytest.approx(np.quantile(first + second, share), rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("pieces", [1, 40])
def test_quantiles_of_many_values_keep_the_stated_rank_error(pieces: int) -> None:
    values = np.random.default_rng(5).gamma(1.0, size=200_000)
    sketch = reduce(Quantiles.merge, [quantiles(piece) for piece in np.array_split(values, pieces)])
    assert len(sketch.values) <= POINTS and sketch.weights.sum() == len(values)
    ordered = np.sort(values)
    for share in (0.001, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999):
        rank = np.searchsorted(ordered, sketch.at(share)) / len(values)
        assert abs(rank - share) <= (pieces + 1) / 4_096


def test_quantiles_of_nothing_are_nan() -> None:
    assert np.isnan(quantiles(np.empty(0)).at(0.5))


def test_counts_group_repeats_and_leave_out_nulls_and_rows_outside_train() -> None:
    counts = Categories.of(pa.array(["a", None, "b", "a", "c"]), np.array([2, 9, 1, 3, 0]))
    assert counts.sorted() == [("a", 5), ("b", 1)]
    assert counts.count == 6 and not counts.overflowed


def test_counts_merge_in_order() -> None:
    merged = categories(["a", "b"]).merge(categories(["b", "c"]))
    assert merged.texts.to_pylist() == ["a", "b", "c"] and merged.counts.tolist() == [1, 2, 1]
    assert categories([]).merge(categories([])).count == 0


def test_counts_keep_the_frequent_of_very_many_texts_and_stay_small() -> None:
    texts = [f"often {i % 50}" for i in range(5_000)] + [f"once {i}" for i in range(EXACT_CATEGORIES)]
    counts = reduce(Categories.merge, [categories(texts)] * 3)
    assert counts.overflowed and counts.count == 3 * len(texts)
    assert counts.sorted()[:50] == sorted((f"often {i}", 300) for i in range(50))
    assert len(categories(texts).texts) < KEPT_CATEGORIES
    assert len(pickle.dumps(categories(texts))) < 150_000


def test_long_texts_are_bounded_in_bytes() -> None:
    assert len(pickle.dumps(categories([f"{i:>1000}" for i in range(5_000)]))) < 600_000


@pytest.mark.parametrize("distinct", [0, 1, 2_000, 50_000])
def test_distinct_texts_are_counted_within_the_stated_error(distinct: int) -> None:
    texts = pa.array(
        [f"https://example.org/a/rather/long/common/prefix/of/all/texts/item-{i}" for i in range(distinct)]
    )
    texts = texts.cast(pa.string())
    halves = Distinct.of(texts.slice(0, distinct * 2 // 3)), Distinct.of(texts.slice(distinct // 3))
    estimate = halves[0].merge(halves[1]).estimate
    assert estimate == distinct if distinct < POINTS else abs(estimate / distinct - 1) < 0.07


@pytest.mark.parametrize("template", ["{}", "{:06d}", "id-{}", "{}0000"])
def test_the_hash_spreads_texts_that_differ_little(template: str) -> None:
    texts = pa.array([template.format(i) for i in range(100_000)])
    assert abs(Distinct.of(texts).estimate / 100_000 - 1) < 0.07


@pytest.mark.parametrize("step", [1, 1_000, 0.001, 2.0**40])
def test_the_hash_spreads_numbers_that_differ_little(step: float) -> None:
    numbers = np.arange(100_000) * step
    halves = Distinct.of_numbers(numbers[:70_000]), Distinct.of_numbers(numbers[30_000:])
    assert abs(halves[0].merge(halves[1]).estimate / 100_000 - 1) < 0.07


def test_the_hash_of_a_text_does_not_depend_on_its_neighbours() -> None:
    texts = ["", "a", "abcdefgh", "x" * 200, "ünï"]
    together = Distinct.of(pa.array(["pad", *texts]).slice(1)).hashes
    alone = np.sort(np.concatenate([Distinct.of(pa.array([text])).hashes for text in texts]))
    assert together.tolist() == alone.tolist()


def test_the_same_pieces_in_the_same_order_give_the_same_bytes() -> None:
    def summary() -> bytes:
        rng = np.random.default_rng(3)
        pieces = [rng.normal(size=30_000) for _ in range(4)]
        texts = [pa.array(piece).cast(pa.string()) for piece in pieces]
        ones = np.ones(30_000, np.int64)
        return pickle.dumps(
            (
                reduce(Quantiles.merge, [quantiles(piece) for piece in pieces]),
                reduce(Categories.merge, [Categories.of(text, ones) for text in texts]),
                reduce(Distinct.merge, [Distinct.of(text) for text in texts]),
            )
        )

    assert summary() == summary()
