"""The training loop in one process: it resumes bitwise, stops well, and says what went wrong."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raymill.checkpoint import Checkpoints
from raymill.errors import DataError, OutOfMemory, SpecError, UserError
from raymill.loop import Fit, Loop
from raymill.store import Store
from raymill.world import World
from tests.fakes import FakePrepared
from tests.recipes import Training, spec_of

ROWS = 455  # five batches of 100, the last of 55
STEPS = 5
DROPOUT = {"type": "mlp", "hidden": [16, 16], "dropout": 0.3}
MODELS: list[dict[str, Any]] = [
    {"type": "linear"},
    {"type": "mlp", "hidden": [16, 16]},
    DROPOUT,
    {"import": "tests.networks.build_model"},
    {"import": "tests.networks.batch_norm"},
    {"import": "tests.networks.half"},
]


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(Store(str(tmp_path)), "checkpoints")


def training(
    model: dict[str, Any] | None = None,
    *,
    kind: str = "classification",
    checkpoints: Checkpoints | None = None,
    stop_at: int | None = None,
    size: int = 1,
    passes: int = 1,
    **train: Any,
) -> Training:
    return Training(
        spec=spec_of(model, kind, **train),
        prepared=FakePrepared(ROWS, kind=kind),
        checkpoints=checkpoints,
        stop_at=stop_at,
        size=size,
        passes=passes,
    )


def with_a_huge_cell(given: Training) -> Loop:
    """A loop that meets an infinite cell in its third step."""
    loop = given._loop()
    row = loop.order.epoch(0).step(2)[0]
    numbers = loop.rows.words[row, :3].view(torch.float32)
    numbers[1] = torch.inf
    return loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording(World):
    """A world of one that notes what all ranks would have to call together."""

    called: list[str] = field(default_factory=list)

    def sum_step(
        self, parameters: Sequence[torch.nn.Parameter], loss: torch.Tensor, stop: bool
    ) -> tuple[torch.Tensor, bool]:
        self.called.append("stop" if stop else "step")
        return World.sum_step(self, parameters, loss, stop)

    def maxima(self, values: Sequence[float]) -> list[float]:
        self.called.append("maxima")
        return World.maxima(self, values)


def without_notes(fit: Fit) -> Fit:
    """How a training ended, whether or not it had been continued."""
    return replace(fit, notes=())


def assert_same(found: Training, expected: Training) -> None:
    """Bitwise equal weights, and losses of the epochs that both have."""
    assert found.losses == expected.losses[len(expected.losses) - len(found.losses) :]
    assert all(torch.equal(weight, found.weights[name]) for name, weight in expected.weights.items())


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_training_learns(kind: str, precision: str) -> None:
    found = training(kind=kind, precision=precision, epochs=10)
    fit = found.run()
    assert (fit.status, fit.epochs, fit.steps) == ("finished", 10, 10 * STEPS)
    assert found.epochs[-1].validation_loss < 0.5 * found.epochs[0].train_loss
    assert [record.rows for record in found.epochs] == [ROWS] * 10
    assert [record.step for record in found.epochs] == [STEPS * (epoch + 1) for epoch in range(10)]
    assert found.weights["head.weight"].dtype == getattr(torch, precision)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stop_at", [1, 5, 7, 14])
def test_an_interrupted_training_continues_as_if_it_had_not_been(
    model: dict[str, Any], stop_at: int, checkpoints: Checkpoints
) -> None:
    whole = training(model, precision="float32")
    whole.run()
    first = training(model, precision="float32", checkpoints=checkpoints, stop_at=stop_at)
    assert (first.run().status, first.steps) == ("interrupted", stop_at)
    rest = training(model, precision="float32", checkpoints=checkpoints)
    assert rest.run().status == "finished"
    assert rest.said == [f"continuing from step {stop_at}, in epoch {(stop_at - 1) // STEPS + 1}"]
    assert rest.steps == 3 * STEPS - stop_at
    assert_same(rest, whole)


def test_a_training_interrupted_again_and_again_is_the_same(checkpoints: Checkpoints) -> None:
    whole = training(DROPOUT)
    whole.run()
    for _ in range(3 * STEPS):
        part = training(DROPOUT, checkpoints=checkpoints, stop_at=1)
        part.run()
    last = training(DROPOUT, checkpoints=checkpoints)
    last.run()
    assert_same(last, whole)


def test_a_training_that_died_continues_from_its_last_checkpoint(checkpoints: Checkpoints) -> None:
    class Died(BaseException):
        pass

    def die() -> bool:
        if next(steps) == 9:
            raise Died
        return False

    whole = training(DROPOUT)
    whole.run()
    steps = itertools.count(1)
    dead = training(DROPOUT, checkpoints=checkpoints, checkpoint_every=4)
    dead._should_stop = die
    with pytest.raises(Died):
        dead.run()
    rest = training(DROPOUT, checkpoints=checkpoints, checkpoint_every=4)
    rest.run()
    assert rest.said == ["continuing from step 8, in epoch 2"]
    assert_same(rest, whole)


def test_checkpoints_are_written_every_so_many_steps(tmp_path: Path) -> None:
    written = []

    class Noted(Checkpoints):
        def write(self, checkpoint) -> None:
            written.append(checkpoint.step)
            super().write(checkpoint)

    training(checkpoints=Noted(Store(str(tmp_path)), "c"), checkpoint_every=4).run()
    assert written == [4, 8, 12, 15]


def test_checkpoints_are_written_every_so_many_seconds(tmp_path: Path) -> None:
    written = []

    class Noted(Checkpoints):
        def write(self, checkpoint) -> None:
            written.append(checkpoint.step)

    timed = training(checkpoints=Noted(Store(str(tmp_path)), "c"), checkpoint_every="30s")
    timed.clock = lambda: 10.0 * timed.steps
    timed.run()
    assert written == [3, 6, 9, 12, 15, 15]


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_it_used(checkpoints: Checkpoints) -> None:
    whole = training(DROPOUT)
    whole.run()
    training(DROPOUT, checkpoints=checkpoints, checkpoint_every=3, stop_at=8).run()
    newest = checkpoints.store.files("checkpoints")[-1].path
    checkpoints.store.write_bytes(newest, checkpoints.store.read_bytes(newest)[:-7])
    rest = training(DROPOUT, checkpoints=checkpoints)
    rest.run()
    assert rest.said == [
        f"checkpoint {newest} is damaged; using the one before it",
        "continuing from step 6, in epoch 2",
    ]
    assert_same(rest, whole)


def test_more_epochs_extend_a_finished_training(checkpoints: Checkpoints) -> None:
    constant = {"type": "constant", "warmup": 0.0}
    whole = training(epochs=5, schedule=constant)
    whole.run()
    training(epochs=2, schedule=constant, checkpoints=checkpoints).run()
    longer = training(epochs=5, schedule=constant, checkpoints=checkpoints)
    fit = longer.run()
    assert (fit.status, fit.epochs, longer.steps) == ("finished", 5, 3 * STEPS)
    assert_same(longer, whole)


def test_a_finished_training_run_again_trains_nothing(checkpoints: Checkpoints) -> None:
    whole = training(checkpoints=checkpoints)
    fit = whole.run()
    again = training(checkpoints=checkpoints)
    assert (without_notes(again.run()), again.steps) == (without_notes(fit), 0)
    assert_same(again, whole)


def overfit(checkpoints: Checkpoints | None = None, stop_at: int | None = None) -> Training:
    recipe = {"epochs": 200, "early_stopping": {"patience": 3}, "optimizer": {"lr": 0.5}}
    return training({"import": "tests.networks.overfitting"}, checkpoints=checkpoints, stop_at=stop_at, **recipe)


def test_early_stopping_ends_with_the_best_weights() -> None:
    found = overfit()
    fit = found.run()
    losses = [record.validation_loss for record in found.epochs]
    assert fit.status == "stopped early"
    assert fit.best_loss == min(losses) == losses[fit.best_epoch - 1]
    assert fit.epochs == fit.best_epoch + 3 < 200
    assert found.loop._validation_loss() == fit.best_loss


def test_early_stopping_counts_on_after_an_interruption(checkpoints: Checkpoints) -> None:
    whole = overfit()
    fit = whole.run()
    overfit(checkpoints, stop_at=(fit.best_epoch + 1) * STEPS + 2).run()
    rest = overfit(checkpoints)
    assert without_notes(rest.run()) == without_notes(fit)
    assert_same(rest, whole)


def test_a_training_that_stopped_early_stays_stopped(checkpoints: Checkpoints) -> None:
    fit = overfit(checkpoints).run()
    again = overfit(checkpoints)
    assert (without_notes(again.run()), again.steps) == (without_notes(fit), 0)


def test_a_loss_that_is_no_number_is_the_users_to_mend() -> None:
    with pytest.raises(DataError, match=r"The loss became (nan|inf) in step 1, epoch 1") as caught:
        training({"import": "tests.networks.exploding"}, precision="float32").run()
    assert "lr" in caught.value.fix


def test_the_step_whose_loss_is_no_number_is_named_with_its_largest_inputs(checkpoints: Checkpoints) -> None:
    loop = with_a_huge_cell(training(checkpoints=checkpoints, checkpoint_every=1))
    with pytest.raises(DataError, match=r"The loss became nan in step 3, epoch 1; .* deviations: b inf, ") as caught:
        loop.fit()
    assert "features.ignore" in caught.value.fix
    newest, _ = checkpoints.newest()
    assert newest is not None and newest.step == 2
    assert all(torch.isfinite(tensor).all() for tensor in newest.tensors.values())


def test_ranks_whose_checkpoints_are_due_at_different_steps_refuse_a_loss_together() -> None:
    loop = with_a_huge_cell(training(checkpoint_every=1))
    loop.world = Recording(device=loop.world.device)
    with pytest.raises(DataError, match="in step 3, epoch 1"):
        loop.fit()
    assert loop.world.called == ["step", "step", "step", "stop", "maxima"]


@pytest.mark.parametrize("passes", [2, 7, 101])
def test_a_step_in_several_passes_is_the_same_step(passes: int) -> None:
    whole, parts = training(), training(passes=passes)
    assert whole.run().status == parts.run().status
    assert np.allclose(whole.losses, parts.losses, rtol=1e-12, atol=0)


def test_what_the_ranks_are_doing_can_be_seen_from_outside() -> None:
    found = training()
    found.run()
    assert not found.loop.place.waits
    shards = sum(len(split.shards) for split in found.prepared.splits.values())
    assert found.loop.place.moves == shards + 3 * (STEPS + 1)  # a batch of validation rows each epoch


def test_batch_norm_is_refused_above_one_worker() -> None:
    with pytest.raises(UserError, match="batch norm"):
        training({"import": "tests.networks.batch_norm"}, size=2).run()


def test_batch_norm_is_not_given_half_the_rows_at_a_time() -> None:
    with pytest.raises(OutOfMemory, match="batch norm"):
        training({"import": "tests.networks.batch_norm"}, passes=2).run()


def test_weights_that_no_longer_fit_an_edited_network_are_a_spec_error(checkpoints: Checkpoints) -> None:
    training({"import": "tests.networks.build_model"}, checkpoints=checkpoints).run()
    edited = {"import": "tests.networks.build_model", "options": {"width": 9}}
    with pytest.raises(SpecError, match="don't fit the network"):
        training(edited, checkpoints=checkpoints).run()


def test_gradients_are_clipped_to_a_norm() -> None:
    free, clipped = training(kind="regression"), training(kind="regression", gradient_clip=1e-3)
    clipped.run()
    free.run()

    def norm(found: Training) -> float:
        return float(torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in found.loop.parameters])))

    assert norm(clipped) <= 1e-3 * (1 + 1e-6)
    assert norm(free) > 1e-3


def test_label_smoothing_changes_training_and_not_the_validation_loss() -> None:
    plain, smooth = training(epochs=1), training(epochs=1, label_smoothing=0.2)
    plain.run()
    smooth.run()
    assert smooth.epochs[0].train_loss != plain.epochs[0].train_loss
    numbers, categories, target = validation_rows(smooth)
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(smooth.loop.model(numbers, categories), target)
    assert smooth.epochs[0].validation_loss == pytest.approx(float(expected), rel=1e-12)


def validation_rows(found: Training) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    batch = found.loop.validation.span(0, len(found.loop.validation), torch.device("cpu"))
    return batch.numbers, batch.categories, batch.target


def test_the_gradient_of_a_step_is_the_mean_over_its_true_rows() -> None:
    found = training({"type": "linear"}, kind="regression", epochs=1, batch_size=ROWS)
    found.run()
    rows = found.loop.rows.gather(np.arange(ROWS), torch.device("cpu"))
    # A linear network starts at zero: the gradient of the mean squared error is -2 mean(y x).
    expected = -2 * (rows.target[:, None] * rows.numbers).mean(dim=0)
    assert torch.allclose(found.loop.model.numbers.weight.grad[0], expected, rtol=1e-10)
    assert found.epochs[0].train_loss == pytest.approx(float((rows.target**2).mean()), rel=1e-12)


def test_dropout_is_drawn_anew_in_each_step_and_the_same_in_each_run() -> None:
    one, same, other = training(DROPOUT), training(DROPOUT), training(DROPOUT, seed=6)
    for each in (one, same, other):
        each.run()
    assert one.losses == same.losses
    assert one.losses != other.losses


def test_bf16_keeps_weights_and_losses_in_float32() -> None:
    found = training(precision="bf16", epochs=2)
    found.run()
    assert found.weights["head.weight"].dtype == torch.float32
    assert found.epochs[1].train_loss < found.epochs[0].train_loss


def test_a_record_says_the_learning_rate_of_its_last_step() -> None:
    found = training(optimizer={"lr": 0.01}, schedule={"type": "constant", "warmup": 0.0})
    found.run()
    assert [record.lr for record in found.epochs] == pytest.approx([0.01] * 3)


def test_a_record_says_its_steps_and_what_the_newest_checkpoint_took(checkpoints: Checkpoints) -> None:
    found = training(epochs=2, checkpoints=checkpoints, checkpoint_every=STEPS + 1)
    found.run()
    first, second = found.epochs
    assert (first.steps, second.steps) == (STEPS, STEPS)
    assert (first.checkpoint_s, first.checkpoint_bytes) == (0.0, 0)
    assert second.checkpoint_s > 0 and second.checkpoint_bytes > 0
