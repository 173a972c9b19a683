"""The drift decision, and its error rates, measured at every size on both sides of its threshold."""

from __future__ import annotations

import functools
import math

import numpy as np
import pyarrow as pa
import pytest

from raymill.drift import LEAST_ROWS, THRESHOLD, Drifted, Steady, TooFewRows, drift, effects_of
from raymill.drift_bins import DriftBins
from raymill.drift_reference import DriftReference
from raymill.schema import infer_schema
from raymill.statistics import TableSummary
from raymill.transform import Transform

BINS = 53
LOOKS = 40
SIZES = [(rows, columns) for rows in (1_000, 10_000, 100_000, 1_000_000) for columns in (10, 100, 500)]


def shares(columns: int, rng: np.random.Generator) -> np.ndarray:
    """Distributions over 2 to 53 bins, from even to very uneven, `(columns, bins)`."""
    found = np.zeros((columns, BINS))
    for row in found:
        bins = rng.integers(2, BINS + 1)
        row[:bins] = rng.dirichlet(np.full(bins, rng.choice([0.1, 1.0, 20.0])))
    return found


def moved(p: np.ndarray, distance: float) -> np.ndarray:
    """Distributions at a total variation distance: every bin gives the same share of its rows to the likeliest one."""
    most = p.max(axis=-1, keepdims=True)
    given = np.minimum(distance / (1 - most), 1)
    return p * (1 - given) + np.where(np.arange(BINS) == p.argmax(axis=-1)[..., None], given, 0)


def counts_of(p: np.ndarray, rows: int, looks: int, rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(rows, p, size=(looks, len(p)))


def drawn(rows: int, columns: int, distance: float, looks: int = LOOKS) -> tuple[np.ndarray, np.ndarray]:
    """Train and live rows by bin of each of some looks, `(looks, columns, bins)`; the sizes of both are the same."""
    rng = np.random.default_rng(rows + columns)
    p = shares(columns, rng)
    p = p[1 - p.max(axis=-1) > distance]
    return counts_of(p, rows, looks, rng), counts_of(moved(p, distance), rows, looks, rng)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_columns_that_have_not_changed_never_drift(rows: int, columns: int) -> None:
    _, at_least = effects_of(*drawn(rows, columns, 0.0), error=0.05)
    assert at_least.max() < THRESHOLD / 2


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_columns_at_the_threshold_are_called_drifting_no_more_often_than_is_stated(rows: int, columns: int) -> None:
    """With an error of 5% for each look, 7 or more of 40 looks come by chance about once in 300 such tests."""
    _, at_least = effects_of(*drawn(rows, columns, THRESHOLD), error=0.05)
    assert np.any(at_least > THRESHOLD, axis=1).sum() < 7


@pytest.mark.parametrize(("rows", "distance"), [(1_000, 0.5), (10_000, 0.25), (100_000, 0.15), (1_000_000, 0.12)])
def test_a_change_that_the_rows_can_show_is_found_in_every_column(rows: int, distance: float) -> None:
    train, live = drawn(rows, 500, distance, looks=5)
    names = [f"c{index}" for index in range(train.shape[1])]
    for look in range(5):
        found = drift(names, train[look], live[look])
        assert isinstance(found, Drifted) and len(found.drifting) >= 0.99 * len(names)


def test_the_effect_is_the_share_of_rows_that_lie_elsewhere() -> None:
    train = np.array([[500_000, 500_000, 0], [500_000, 500_000, 0]])
    live = np.array([[300_000, 400_000, 300_000], [550_000, 450_000, 0]])
    effects, at_least = effects_of(train, live, 1e-8)
    noise = (math.sqrt(0.25e-6 + 0.21e-6) + math.sqrt(0.25e-6 + 0.24e-6) + math.sqrt(0.21e-6)) / 2
    margin = math.sqrt((1e-6 + 1e-6) / 2 * math.log(2 / 1e-8))
    assert effects == pytest.approx([0.3, 0.05])
    assert at_least[0] == pytest.approx(0.3 - noise - margin) and at_least[0] > 0.294


def test_a_small_change_that_is_surely_there_is_no_drift() -> None:
    found = drift(["a"], np.array([[500_000, 500_000]]), np.array([[550_000, 450_000]]))
    assert isinstance(found, Steady) and 0.04 < found.columns[0].at_least < 0.05


def test_one_column_among_many_is_named_first() -> None:
    train = np.tile([5_000, 5_000], (3, 1))
    live = train.copy()
    live[1] = [9_000, 1_000]
    found = drift(["a", "b", "c"], train, live)
    assert isinstance(found, Drifted)
    assert [column.name for column in found.drifting] == ["b"] and len(found.columns) == 3
    assert found.columns[0].effect == pytest.approx(0.4) and found.rows == 10_000
    steady = drift(["a", "b", "c"], train, train)
    assert isinstance(steady, Steady) and {column.at_least for column in steady.columns} == {0.0}


def test_of_fewer_than_a_thousand_rows_nothing_is_said() -> None:
    train, live = np.array([[10_000, 0]]), np.array([[0, LEAST_ROWS - 1]])
    assert drift(["a"], train, live) == TooFewRows(rows=LEAST_ROWS - 1)
    assert isinstance(drift(["a"], train, live + 1), Drifted)


def _rows(rng: np.random.Generator, rows: int) -> pa.Table:
    """Columns of which a train sample never has all there is: long tails of numbers and of names."""
    return pa.table(
        {
            "heavy": rng.standard_cauchy(rows),
            "skewed": rng.lognormal(0, 3, rows),
            "zeros": np.where(rng.random(rows) < 0.6, 0, rng.normal(size=rows)),
            "few": rng.poisson(1.0, rows),
            "town": np.char.add("t", rng.zipf(1.2, rows).astype(str)),
            "even": np.char.add("t", rng.integers(0, 300, rows).astype(str)),
            "gaps": pa.array(rng.normal(size=rows), mask=rng.random(rows) < 0.3),
            "y": rng.integers(0, 2, rows),
        }
    )


@pytest.mark.parametrize("train_rows", [500, 5_000, 50_000])
def test_new_rows_of_the_same_source_do_not_drift_though_the_bins_were_made_of_train_rows(train_rows: int) -> None:
    rng = np.random.default_rng(train_rows)
    # In pieces, as a source is read, whose sketches are merged.
    pieces = (TableSummary.of(_rows(rng, train_rows // 20), np.ones(train_rows // 20, bool)) for _ in range(20))
    summary = functools.reduce(TableSummary.merge, pieces)
    schema = infer_schema(summary, {"town": "category", "even": "category"}, (), "y")
    transform = Transform.fit(schema, summary)
    bins = DriftBins(DriftReference.of(transform, summary), transform)
    for live_rows in (1_000, 10_000, 100_000):
        live = bins.count(schema.conform(_rows(rng, live_rows)))
        effects, at_least = effects_of(bins.train, live, error=0.05)
        assert at_least.max() < THRESHOLD / 2
        assert effects.max() < THRESHOLD or min(train_rows, live_rows) < 5_000
