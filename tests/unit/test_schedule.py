"""The learning rate is a pure function of the step."""

from __future__ import annotations

import math

import pytest

from raymill.schedule import learning_rate_factor
from raymill.train_spec import ScheduleSpec

TOTAL = 1000


def factors(**schedule: object) -> list[float]:
    spec = ScheduleSpec.model_validate(schedule)
    return [learning_rate_factor(spec, step, TOTAL) for step in range(TOTAL)]


@pytest.mark.parametrize("kind", ["coslog4", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5])
def test_every_factor_is_above_zero_and_at_most_one(kind: str, warmup: float) -> None:
    assert all(0 < factor <= 1 for factor in factors(type=kind, warmup=warmup))


def test_constant_stays_at_one_after_its_warm_up() -> None:
    assert set(factors(type="constant", warmup=0.05)[50:]) == {1.0}


@pytest.mark.parametrize("kind", ["cosine", "constant"])
def test_warm_up_rises_in_equal_parts(kind: str) -> None:
    rising = factors(type=kind, warmup=0.1)[:100]
    assert rising == pytest.approx([(step + 1) / 101 for step in range(100)])


def test_cosine_falls_from_one_towards_zero_and_is_half_way_in_the_middle() -> None:
    falling = factors(type="cosine", warmup=0.0)
    assert falling == sorted(falling, reverse=True)
    assert (falling[0], falling[500], falling[-1]) == pytest.approx((1.0, 0.5, 0.0), abs=1e-5)


def test_coslog4_peaks_four_times() -> None:
    values = factors(type="coslog4")
    peaks = [i for i in range(1, TOTAL - 1) if values[i - 1] < values[i] >= values[i + 1] and values[i] > 0.99]
    expected = [(2 ** (cycle + 0.5) - 1) / 15 * TOTAL for cycle in range(4)]
    assert peaks == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize("kind", ["coslog4", "cosine", "constant"])
@pytest.mark.parametrize("total", [0, 1, 2])
def test_short_trainings_have_a_rate_too(kind: str, total: int) -> None:
    spec = ScheduleSpec.model_validate({"type": kind})
    assert all(math.isfinite(learning_rate_factor(spec, step, total)) for step in range(total + 1))
