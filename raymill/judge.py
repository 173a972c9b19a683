"""The judge of a release: whether a candidate is promoted, held or rolled back, from the counts of both versions.

A pure function with a value for an answer, to be asked as often as one likes: it rests on confidence sequences
(`raymill.confidence`), so that looking every few seconds for days makes no error more frequent. Each criterion is a
mean over requests that the candidate may have higher by a limit. Where it is shown to be beyond one limit it is rolled
back; shown to be within all, it is promoted; until then, held.

| limit | on what | evidence |
|---|---|---|
| max_error_rise | share of failed requests | all requests |
| max_slow_rise | share slower than the stable version's 99th percentile, rounded up to a bucket | all requests |
| max_loss_rise | loss by true labels | requests whose labels came |
| max_disagreement | loss that the stable version expects | requests scored by both |
| max_score_shift | distance of the scores' distributions | all answers |

**Its errors.** A candidate within every limit is rolled back in at most a share `alpha` of releases, over all looks
together: each of the five criteria has a fifth. One beyond a limit that counts is promoted in at most `alpha / 5`. Both
hold at any number of requests, as long as each version's share of them stays as it is, and what becomes of one does not
hang on those before it, but for what meets both versions alike.

**Different is not worse.** Without labels nobody knows which version is right, and a better one differs too. So a row
counts by what the stable version expects to lose by the candidate's answer: next to nothing where it finds two classes
alike, which is where models trained with another seed differ, and much where it is sure. That and the loss by labels
are one quantity, once believed and once known, and where labels have shown the candidate within its limit, belief and
the scores' shift are passed over. In neither does a rare class count for much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from raymill.confidence import Bounds, mean_bounds, rise_bounds, shift_bounds
from raymill.release_rules import ReleaseRules
from raymill.version_counts import LATENCY_BOUNDS_S, VersionCounts

_SLOW_BEYOND = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """The candidate is shown to be within every limit."""

    reason: str
    decision: Literal["promote"] = field(default="promote", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Too little has been seen; the reason says of what."""

    reason: str
    decision: Literal["hold"] = field(default="hold", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """The candidate is shown to be beyond a limit."""

    reason: str
    decision: Literal["roll_back"] = field(default="roll_back", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Bounds on what a rule limits, from the counts of both versions."""

    what: str
    rule: str
    limit: float
    low: np.ndarray
    high: np.ndarray

    @property
    def within(self) -> np.ndarray:
        return self.high < self.limit

    @property
    def beyond(self) -> np.ndarray:
        return self.low > self.limit

    def __str__(self) -> str:
        low, high = (max(round(float(end), 4), 0) for end in (self.low, self.high))
        return f"{self.what} {low:g} to {high:g} ({self.rule} {self.limit:g})"


def judge(
    stable: VersionCounts, candidate: VersionCounts, rules: ReleaseRules, *, lasted_s: float
) -> Promote | Hold | RollBack:
    """Decides on the counts of one stage of a release, which has lasted so many seconds.

    Rolls back whatever has been seen; promotes no earlier than `min_duration_s` and `min_requests` of the candidate,
    and by nothing but labels or requests that both versions scored.
    """
    found = _that_count(evidence(stable, candidate, rules), candidate)
    seen = f"after {candidate.requests} requests of the candidate and {stable.requests} of the stable version"
    for each in found:
        if each.beyond:
            return RollBack(reason=f"beyond a limit: {each}; {seen}")
    missing = _missing(candidate, rules, lasted_s, found)
    if missing:
        return Hold(reason=f"not yet enough: {'; '.join(missing)}; {seen}")
    return Promote(reason=f"within every limit: {'; '.join(map(str, found))}; {seen}")


def evidence(stable: VersionCounts, candidate: VersionCounts, rules: ReleaseRules) -> tuple[Evidence, ...]:
    """What the counts show of each criterion that has a limit; all bounds hold at all looks, but for `alpha`.

    Counts may also be arrays of one shape, with histograms `(..., bins)`; the bounds then have that shape.
    """
    alpha = rules.alpha / len(_CRITERIA)
    limits = {rule: getattr(rules, rule) for rule in _CRITERIA}
    return tuple(
        Evidence(what=what, rule=rule, limit=limits[rule], low=low, high=high)
        for rule, (what, bounds) in _CRITERIA.items()
        if limits[rule] is not None
        for low, high in [bounds(stable, candidate, alpha)]
    )


def _that_count(found: tuple[Evidence, ...], candidate: VersionCounts) -> tuple[Evidence, ...]:
    """Without the loss where no label came, and without what labels make needless."""
    if not candidate.labelled:
        return tuple(each for each in found if each.rule != "max_loss_rise")
    known = any(each.rule == "max_loss_rise" and each.within for each in found)
    return tuple(each for each in found if not (known and each.rule in _BELIEF))


def _missing(candidate: VersionCounts, rules: ReleaseRules, lasted_s: float, found: tuple[Evidence, ...]) -> list[str]:
    """What has to be seen before the candidate may be promoted."""
    missing = [str(each) for each in found if not each.within]
    if lasted_s < rules.min_duration_s:
        missing.append(f"{lasted_s:.0f} s have passed (min_duration_s {rules.min_duration_s:g})")
    if candidate.requests < rules.min_requests:
        missing.append(f"the candidate has answered {candidate.requests} requests (min_requests {rules.min_requests})")
    if not {each.rule for each in found} & {"max_loss_rise", "max_disagreement"}:
        missing.append("nothing says how good its answers are (no true label, max_disagreement null)")
    return missing


def _errors(stable: VersionCounts, candidate: VersionCounts, alpha: float) -> Bounds:
    return rise_bounds(candidate.errors, candidate.requests, stable.errors, stable.requests, alpha)


def _slow(stable: VersionCounts, candidate: VersionCounts, alpha: float) -> Bounds:
    """The bucket hangs on what has been seen, so the bounds hold for every bucket at once."""
    theirs, ours = (np.cumsum(np.asarray(each.latencies), axis=-1) for each in (stable, candidate))
    bucket = (theirs >= _SLOW_BEYOND * theirs[..., -1:]).argmax(axis=-1)[..., None]
    slow, base_slow = ((each[..., -1:] - np.take_along_axis(each, bucket, -1))[..., 0] for each in (ours, theirs))
    return rise_bounds(slow, ours[..., -1], base_slow, theirs[..., -1], alpha / len(LATENCY_BOUNDS_S))


def _loss(stable: VersionCounts, candidate: VersionCounts, alpha: float) -> Bounds:
    return rise_bounds(candidate.loss, candidate.labelled, stable.loss, stable.labelled, alpha)


def _disagreement(stable: VersionCounts, candidate: VersionCounts, alpha: float) -> Bounds:
    return mean_bounds(candidate.disagreement, candidate.pairs, alpha)


def _shift(stable: VersionCounts, candidate: VersionCounts, alpha: float) -> Bounds:
    return shift_bounds(candidate.scores, stable.scores, alpha)


_CRITERIA: dict[str, tuple[str, Callable[[VersionCounts, VersionCounts, float], Bounds]]] = {
    "max_error_rise": ("share of failed requests higher by", _errors),
    "max_slow_rise": ("share of slow requests higher by", _slow),
    "max_loss_rise": ("loss by true labels higher by", _loss),
    "max_disagreement": ("loss that the stable version expects", _disagreement),
    "max_score_shift": ("scores moved by", _shift),
}
_BELIEF = ("max_disagreement", "max_score_shift")
