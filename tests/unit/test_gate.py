"""The gate promotes what is better beyond chance, keeps what is not, and says why in one sentence."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from raymill.errors import DataError
from raymill.gate import Keep, Promote, decide, warnings_against, why_never
from raymill.metrics import measure
from raymill.task import Task

TWO = Task(kind="classification", target="y", classes=("no", "yes"))
VALUES = Task(kind="regression", target="y")


def two_models(rows: int, ours: float, theirs: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A target and the probabilities of two models that see it through noise of their own."""
    rng = np.random.default_rng(seed)
    target = (rng.random(rows) < 0.4).astype(np.int64)

    def model(noise: float) -> np.ndarray:
        yes = 1 / (1 + np.exp(0.5 - target - rng.normal(0, noise, rows)))
        return np.column_stack([1 - yes, yes])

    return target, model(ours), model(theirs)


def constant(rows: int) -> np.ndarray:
    return np.tile([0.6, 0.4], (rows, 1))


def gate(target: np.ndarray, candidate: np.ndarray, champion: np.ndarray | None, **more: object) -> Promote | Keep:
    arguments: dict = {"metric": "roc_auc", "task": TWO, "baselines": {"constant": constant(len(target))}} | more
    return decide(target=target, candidate=candidate, champion=champion, **arguments)


def test_a_clearly_better_candidate_is_promoted_with_its_interval() -> None:
    decision = gate(*two_models(1000, 0.5, 2.0, seed=1))
    assert isinstance(decision, Promote)
    assert decision.low is not None and decision.gain is not None and decision.high is not None
    assert 0 < decision.low < decision.gain < decision.high
    assert asdict(decision)["decision"] == "promote"


def test_keep_names_both_values_the_interval_and_what_was_needed() -> None:
    target, ours, theirs = two_models(400, 1.0, 1.0, seed=4)
    decision = gate(target, ours, theirs)
    assert isinstance(decision, Keep)
    assert decision.reason == (
        f"roc_auc {measure(TWO, target, ours)['roc_auc'].value:.3f} against "
        f"{measure(TWO, target, theirs)['roc_auc'].value:.3f}: gain {decision.gain:.3f} "
        f"[{decision.low:.3f}, {decision.high:.3f}], needs more than 0.0 at 95%"
    )


def test_the_same_model_again_is_kept_out() -> None:
    target, ours, _ = two_models(300, 1.0, 1.0, seed=2)
    decision = gate(target, ours, ours)
    assert isinstance(decision, Keep)
    assert (decision.gain, decision.low, decision.high) == (0.0, 0.0, 0.0)


def test_min_gain_is_needed_beyond_chance() -> None:
    models = two_models(2000, 0.8, 1.0, seed=3)
    plain = gate(*models)
    assert isinstance(plain, Promote) and plain.low is not None and plain.gain is not None
    assert isinstance(gate(*models, min_gain=(plain.low + plain.gain) / 2), Keep)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "log_loss", "f1", "f1_macro"])
def test_equal_models_are_promoted_at_most_at_the_stated_rate_and_better_ones_nearly_always(metric: str) -> None:
    equal = better = 0
    for seed in range(200):
        more: dict = {"metric": metric, "resamples": 400}
        equal += isinstance(gate(*two_models(300, 1.0, 1.0, seed), **more), Promote)
        better += isinstance(gate(*two_models(300, 0.4, 1.6, seed), **more), Promote)
    # At a true rate of 2.5%, 12 or more of 200 come by chance about once in 200.
    assert equal < 12
    assert better >= 190


def test_a_lower_loss_is_a_gain() -> None:
    target = np.random.default_rng(0).normal(size=500)
    near, far = target + 0.1, target + np.linspace(-1, 1, 500)
    for metric in ("rmse", "mae", "r2"):
        decision = gate(target, near, far, metric=metric, task=VALUES)
        assert isinstance(decision, Promote) and decision.gain is not None and decision.gain > 0
        assert isinstance(gate(target, far, near, metric=metric, task=VALUES), Keep)


def test_without_a_champion_beating_the_constant_is_enough() -> None:
    target, ours, _ = two_models(200, 1.0, 1.0, seed=0)
    decision = gate(target, ours, None)
    assert isinstance(decision, Promote)
    assert decision.gain == pytest.approx(measure(TWO, target, ours)["roc_auc"].value - 0.5)
    assert decision.reason.endswith("against 0.500 of the constant, and there is no champion yet")


def test_without_a_champion_no_better_than_the_constant_is_kept() -> None:
    target, _, _ = two_models(200, 1.0, 1.0, seed=0)
    decision = gate(target, constant(200), None)
    assert isinstance(decision, Keep)
    assert decision.reason == "roc_auc 0.500 against 0.500 of the constant, which it must beat"


def test_a_metric_that_the_constant_cannot_have_is_beaten() -> None:
    target, ours, _ = two_models(200, 1.0, 1.0, seed=0)
    decision = gate(target, ours, None, metric="precision")
    assert isinstance(decision, Promote) and decision.gain is None
    assert "undefined (no row is predicted to be of class 'yes') of the constant" in decision.reason


def test_must_beat_names_the_baseline_that_won() -> None:
    target, ours, tree = two_models(500, 1.5, 0.5, seed=0)
    scores = {"constant": constant(500), "linear": constant(500), "gradient_boosting": tree}
    more: dict = {"baselines": scores, "must_beat": ("linear", "gradient_boosting")}
    decision = gate(target, ours, None, **more)
    assert isinstance(decision, Keep)
    assert "of gradient_boosting, which evaluate.gate.must_beat names" in decision.reason
    assert isinstance(gate(target, tree, ours, **more | {"must_beat": ("linear",)}), Promote)


@pytest.mark.parametrize("champion", [None, np.tile([0.3, 0.7], (20, 1))], ids=["first", "later"])
def test_an_undefined_metric_keeps_and_says_why(champion: np.ndarray | None) -> None:
    decision = gate(np.zeros(20, dtype=np.int64), constant(20), champion)
    assert decision == Keep(reason="roc_auc of the candidate is undefined: no row is of class 'yes'")


def test_a_champion_without_the_metric_keeps() -> None:
    target, ours, _ = two_models(50, 1.0, 1.0, seed=0)
    decision = gate(target, ours, constant(50), metric="precision")
    assert isinstance(decision, Keep) and decision.reason.startswith("precision of the champion is undefined")


def test_a_test_split_with_hardly_a_class_keeps() -> None:
    target, ours, theirs = two_models(100, 0.1, 1.0, seed=0)
    target[:] = 0
    target[7] = 1
    decision = gate(target, ours, theirs)
    assert isinstance(decision, Keep)
    assert "of 1000 resamples: the test split has too few rows" in decision.reason


def test_small_numbers_are_written_with_the_digits_that_they_need() -> None:
    target = np.random.default_rng(0).normal(size=2000)
    decision = gate(target, target + 1e-6, target + 3e-6, metric="mae", task=VALUES)
    assert decision.reason.startswith("mae 0.000001")


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DataError):
        gate(np.array([0, 1]), np.full((2, 2), np.nan), None)


def test_losing_to_the_linear_model_or_the_tree_is_said_and_winning_is_not() -> None:
    target, weak, strong = two_models(500, 1.5, 0.5, seed=0)
    measured = {name: measure(TWO, target, s) for name, s in {"weak": weak, "strong": strong}.items()}
    rivals = {"constant": measured["strong"], "linear": measured["weak"], "gradient_boosting": measured["strong"]}
    (sentence,) = warnings_against("roc_auc", measured["weak"], rivals)
    assert sentence.startswith("The model loses to gradient_boosting: roc_auc 0.")
    assert warnings_against("roc_auc", measured["strong"], rivals) == ()
    assert warnings_against("log_loss", measured["strong"], rivals) == ()


def test_a_class_without_a_test_row_is_told_where_it_keeps_every_model_from_promotion() -> None:
    task = Task(kind="classification", target="y", classes=("a", "b", "c"))
    target, scores = np.array([0, 1, 1]), np.eye(3)[[0, 1, 1]]
    for metric in ("roc_auc", "accuracy", "f1_macro", "log_loss"):
        never = measure(task, target, scores)[metric].value is None
        assert (why_never(metric, {"a": 1, "b": 2, "c": 0}) is not None) == never
    assert why_never("roc_auc", {"a": 1, "b": 2}) is why_never("r2", {}) is None
    many = why_never("roc_auc", dict.fromkeys("abcdefg", 0) | {"z": 1})
    assert many is not None and "no row of class 'a', 'b', 'c', 'd', 'e' and 2 more: " in many
