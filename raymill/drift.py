"""Drift: whether live rows are distributed as the train rows were, decided column by column from counts by bin.

A pure function with a value for an answer. A column's effect is the total variation distance of the two distributions
over its bins: the share of rows that lie elsewhere than they would in the train rows, 0 to 1, whatever the kind, and
finite where a bin was empty in train, where the population stability index is not. (A normal column that moves by half
its standard deviation has 0.20, and a stability index of 0.25.)

**A column drifts where its effect is shown to be over 0.1:** that an effect is above nothing is only a matter of how
many rows one has. The least effect that the counts leave possible is the one observed less two terms. By the triangle
inequality the observed one is at most the true one and the noise of both samples; the noise is on average no more than
the sum of half the bins' standard errors, and exceeds its average by t with probability exp(-2 t^2 / (1/n + 1/m)) at
most, as one row moves it by 1/n or 1/m (McDiarmid 1989). This holds at every number of rows and for every distribution.

**Its error.** The probability is divided among columns (Bonferroni), and among looks: in at most one of a hundred
processes does a column within 0.1 ever drift in a million looks. Rows are taken to come independently of each other; a
caller who sends one customer's rows all night is a drift, and told as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

THRESHOLD = 0.1
LEAST_ROWS = 1_000
ERROR, LOOKS = 0.01, 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDrift:
    """The share of rows by which a column differs from the train rows, as observed and at least."""

    name: str
    effect: float
    at_least: float

    @property
    def drifts(self) -> bool:
        return self.at_least > THRESHOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """Of `columns`, all of them and the worst first, one or more drift."""

    rows: int
    columns: tuple[ColumnDrift, ...]

    @property
    def drifting(self) -> tuple[ColumnDrift, ...]:
        return tuple(column for column in self.columns if column.drifts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """None of `columns`, the worst first, is shown to drift."""

    rows: int
    columns: tuple[ColumnDrift, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFewRows:
    """Fewer than 1,000, of which nothing is said."""

    rows: int


Drift: TypeAlias = Drifted | Steady | TooFewRows


def drift(names: Sequence[str], train: np.ndarray, live: np.ndarray) -> Drift:
    """Decides from train and live rows by bin, both `(columns, bins)`, each row of them with all rows."""
    rows = int(live[0].sum())
    if rows < LEAST_ROWS:
        return TooFewRows(rows=rows)
    effects, at_least = effects_of(train, live, ERROR / LOOKS)
    columns = tuple(
        ColumnDrift(name=names[index], effect=float(effects[index]), at_least=float(at_least[index]))
        for index in np.lexsort([-effects, -at_least])
    )
    return (Drifted if columns[0].drifts else Steady)(rows=rows, columns=columns)


def effects_of(train: np.ndarray, live: np.ndarray, error: float) -> tuple[np.ndarray, np.ndarray]:
    """Total variation distances `(..., columns)` and their lower bounds, from counts `(..., columns, bins)`.

    With a probability of `error` at most a bound of any column is above the true distance.
    """
    m, n = (counts.sum(axis=-1, keepdims=True) for counts in (train, live))
    p, q = train / m, live / n
    effects = np.abs(p - q).sum(axis=-1) / 2
    noise = np.sqrt(p * (1 - p) / m + q * (1 - q) / n).sum(axis=-1) / 2
    margin = np.sqrt((1 / m + 1 / n)[..., 0] / 2 * math.log(train.shape[-2] / error))
    return effects, np.maximum(effects - noise - margin, 0)
