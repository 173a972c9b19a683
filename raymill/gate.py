"""The gate: whether a candidate becomes champion, decided from scores on the same frozen test rows.

A pure function with a value for an answer; who acts on it (the registry) is elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from raymill.bootstrap import resampled_gains
from raymill.metrics import Measured, measure
from raymill.spec import LOWER_IS_BETTER
from raymill.task import Task

_RESAMPLES = 1000
_SEED = 0
_UNDEFINED_SHARE = 0.05
_MOST_NAMED = 5
_RIVALS = ("linear", "gradient_boosting")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """The candidate becomes champion; `low` and `high` are None where there was no champion to compare with."""

    reason: str
    gain: float | None
    low: float | None = None
    high: float | None = None
    decision: Literal["promote"] = field(default="promote", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """The champion stays, or there is still none; what could not be measured is None."""

    reason: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    decision: Literal["keep"] = field(default="keep", init=False)


def decide(
    *,
    metric: str,
    task: Task,
    target: np.ndarray,
    candidate: np.ndarray,
    champion: np.ndarray | None,
    baselines: Mapping[str, np.ndarray],
    min_gain: float = 0.0,
    must_beat: tuple[str, ...] = (),
    resamples: int = _RESAMPLES,
    seed: int = _SEED,
) -> Promote | Keep:
    """Promotes a candidate that is better than the champion beyond what other test rows could explain.

    A gain is the candidate's metric minus the champion's, negated for losses, so that more is better. With a champion
    the candidate needs the 2.5th percentile of the paired bootstrap's gains above `min_gain` (the lower end of a
    two-sided 95% interval, so an equal model passes about once in 40). Without one it needs to beat the constant. It
    also needs to beat each baseline in `must_beat`, by the metric itself; a baseline whose metric is undefined is
    beaten. Scores are in raymill's convention, all for the same rows as `target`; `baselines` holds `constant` and
    what `must_beat` names. Raises DataError if a score is NaN or infinite.
    """
    ours = measure(task, target, candidate)[metric]
    if ours.value is None:
        return Keep(reason=f"{metric} of the candidate is undefined: {ours.reason}")
    for name in must_beat:
        rival = measure(task, target, baselines[name])[metric]
        if not _beats(metric, ours, rival):
            return Keep(reason=f"{_against(metric, ours, rival)} of {name}, which evaluate.gate.must_beat names")
    if champion is None:
        return _against_constant(metric, ours, measure(task, target, baselines["constant"])[metric])
    theirs = measure(task, target, champion)[metric]
    if theirs.value is None:
        return Keep(reason=f"{metric} of the champion is undefined: {theirs.reason}")
    gains = resampled_gains(metric, task, target, candidate, champion, resamples, seed)
    return _against_champion(metric, ours.value, theirs.value, gains, min_gain)


def why_never(metric: str, test_rows: Mapping[str, int]) -> str | None:
    """Why no model can be promoted on test rows of which each class has so many; None where one may be."""
    absent = [label for label, rows in test_rows.items() if not rows]
    if metric != "roc_auc" or not absent:
        return None
    more = f" and {len(absent) - _MOST_NAMED} more" if len(absent) > _MOST_NAMED else ""
    named = ", ".join(map(repr, absent[:_MOST_NAMED])) + more
    return f"the test split has no row of class {named}: without it {metric} is undefined, and no model is promoted"


def warnings_against(
    metric: str, model: Mapping[str, Measured], baselines: Mapping[str, Mapping[str, Measured]]
) -> tuple[str, ...]:
    """A sentence for each of the linear model and the tree that the model loses to, by the metric itself.

    Takes what `measure` gives for the model and for each baseline; one that was not fitted or measured is left out.
    """
    return tuple(
        f"The model loses to {name}: {_against(metric, model[metric], baselines[name][metric])} on the test rows."
        for name in _RIVALS
        if name in baselines and _beats(metric, baselines[name][metric], model[metric])
    )


def _against_constant(metric: str, ours: Measured, constant: Measured) -> Promote | Keep:
    gain = _gain(metric, ours, constant)
    if _beats(metric, ours, constant):
        reason = f"{_against(metric, ours, constant)} of the constant, and there is no champion yet"
        return Promote(reason=reason, gain=gain)
    return Keep(reason=f"{_against(metric, ours, constant)} of the constant, which it must beat", gain=gain)


def _against_champion(metric: str, ours: float, theirs: float, gains: np.ndarray, min_gain: float) -> Promote | Keep:
    gain = _signed(metric, ours - theirs)
    undefined = int(np.isnan(gains).sum())
    if undefined > _UNDEFINED_SHARE * len(gains):
        reason = f"{metric} is undefined in {undefined} of {len(gains)} resamples: the test split has too few rows"
        return Keep(reason=reason, gain=gain)
    low, high = (float(end) for end in np.nanpercentile(gains, [2.5, 97.5]))
    # So many decimals that the lower end is seen to be on its side of min_gain.
    decimals = _decimals(min(high - low, abs(low - min_gain)))
    numbers = [f"{number:z.{decimals}f}" for number in (ours, theirs, gain, low, high)]
    text = "{} {} against {}: gain {} [{}, {}]".format(metric, *numbers)
    if low > min_gain:
        return Promote(reason=f"{text}, more than {min_gain} at 95%", gain=gain, low=low, high=high)
    return Keep(reason=f"{text}, needs more than {min_gain} at 95%", gain=gain, low=low, high=high)


def _against(metric: str, ours: Measured, theirs: Measured) -> str:
    if ours.value is None or theirs.value is None:
        return f"{metric} {_text(ours)} against {_text(theirs)}"
    decimals = _decimals(abs(ours.value - theirs.value))
    return f"{metric} {ours.value:.{decimals}f} against {theirs.value:.{decimals}f}"


def _decimals(gap: float) -> int:
    """Three, or as many as show two digits of a smaller gap."""
    return min(max(3, 1 - math.floor(math.log10(gap))), 12) if gap > 0 else 3


def _text(measured: Measured) -> str:
    return f"undefined ({measured.reason})" if measured.value is None else f"{measured.value:.3f}"


def _signed(metric: str, difference: float) -> float:
    return -difference if metric in LOWER_IS_BETTER else difference


def _gain(metric: str, ours: Measured, theirs: Measured) -> float | None:
    if ours.value is None or theirs.value is None:
        return None
    return _signed(metric, ours.value - theirs.value)


def _beats(metric: str, ours: Measured, theirs: Measured) -> bool:
    """Strictly better; any value is better than an undefined one."""
    gain = _gain(metric, ours, theirs)
    return gain > 0 if gain is not None else ours.value is not None
