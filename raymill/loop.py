"""The training loop: epochs, order, step, checkpoint, early stopping. It knows torch and no Ray.

What it needs from outside is passed in: where checkpoints go, who hears of a finished epoch, whether to stop.
Run it under Ray Train, torchrun or alone: `fit` sees only a `World`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from raymill.adamw import AdamW
from raymill.checkpoint import Checkpoints, Saved
from raymill.errors import DataError, MachineError, OutOfMemory, UserError
from raymill.history import EpochRecord
from raymill.models import has_batch_statistics, parameter_groups
from raymill.order import EpochOrder, Order
from raymill.progress import Progress, pack, unpack
from raymill.rows import Batch, RowMatrix
from raymill.schedule import learning_rate_factor
from raymill.soundness import Soundness, largest_inputs
from raymill.train_spec import TrainSpec
from raymill.world import World

_EVALUATION_ROWS = 8192
Value = TypeVar("Value")
Status = Literal["finished", "stopped early", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What the loop needs from outside; each call comes from rank 0 only, but `should_stop`."""

    checkpoints: Checkpoints | None = None
    report: Callable[[EpochRecord], None] = lambda record: None
    flush: Callable[[], None] = lambda: None
    say: Callable[[str], None] = lambda text: None
    should_stop: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How training ended; the model holds the weights of `best_epoch` unless it was interrupted.

    `notes` are what was said on the way, for a caller that could not hear it.
    """

    status: Status
    epochs: int
    steps: int
    best_epoch: int
    best_loss: float
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Place:
    """How far this rank has moved, by shards, steps and batches of validation rows, and whether it waits for others.

    Another thread may read it at any time: a rank that neither moves nor waits is the one that keeps all from going on.
    """

    moves: int = 0
    waits: bool = False

    def move(self) -> None:
        self.moves += 1


@dataclass(kw_only=True)
class Loop:
    """One training run in one process: data, model and recipe are given; `fit` does the rest.

    A rank's part of a step goes through the model in `passes` parts of near-equal size, whose gradients add up: more
    passes need less memory at a time.
    """

    model: nn.Module
    rows: RowMatrix
    validation: RowMatrix
    order: Order
    recipe: TrainSpec
    learning_rate: float
    world: World
    hooks: Hooks
    passes: int = 1
    place: Place = field(default_factory=Place)
    progress: Progress = field(default_factory=Progress)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    is_unsound: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.world.size > 1 and has_batch_statistics(self.model):
            raise UserError(
                "The model has batch norm, which sees only one worker's share of a batch.",
                "Use train.workers=1, or layer norm.",
            )
        if self.passes > 1 and has_batch_statistics(self.model):
            raise OutOfMemory(
                "The model needs more memory than there is, and has batch norm: half the rows at a time would change "
                "what it learns.",
                "Lower train.batch_size, use layer norm, or a machine with more memory; the same command continues.",
            )
        recipe = self.recipe.optimizer
        groups = parameter_groups(self.model)
        self.optimizer = AdamW(groups, beta2=recipe.beta2, weight_decay=recipe.weight_decay)
        self.parameters = self.optimizer.parameters
        self.saved_at_s = self.hooks.clock()
        self.soundness = Soundness.on(self.world.device)

    def fit(self) -> Fit:
        """Trains from the newest checkpoint to the last epoch, an early stop or an interruption."""
        self._together(self.world.broadcast, list(self.model.state_dict().values()))
        self._restore()
        self._require_same_step()
        while self.progress.epoch < self.recipe.epochs and not self.progress.stopped_early:
            if not self._train_epoch(self.order.epoch(self.progress.epoch)):
                self._refuse_nan()
                self._save()
                return self._result("interrupted")
            self._finish_epoch(self._validation_loss())
        self._save()
        if self.best:
            self.model.load_state_dict(self.best)
        return self._result("stopped early" if self.progress.stopped_early else "finished")

    def _train_epoch(self, epoch: EpochOrder) -> bool:
        """Trains the epoch's remaining steps; False when asked to stop before its end."""
        self.model.train()
        before_s, done = self.progress.seconds, self.progress
        self.soundness.begin(done.step)
        started_s = self.hooks.clock()
        for step in range(done.step, self.order.steps):
            stop = self._train_step(epoch, step)
            done.seconds = before_s + self.hooks.clock() - started_s
            done.step, done.global_step = step + 1, done.global_step + 1
            if stop:
                return False
            if self._checkpoint_is_due():
                self._save()
        return True

    def _train_step(self, epoch: EpochOrder, step: int) -> bool:
        """One global step; True when any rank was asked to stop, or has seen a loss that is no number."""
        self._seed_dropout()
        rows = self.order.batch_rows(step)
        loss = self._backward(epoch.step(step), rows)
        vote = self.is_unsound or self.hooks.should_stop()
        loss_sum, stop = self._together(self.world.sum_step, self.parameters, loss, vote)
        if self.recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.gradient_clip)
        self.optimizer.step(self._learning_rate(self.progress.global_step))
        self.progress.loss_sum = total = self.progress.loss_sum + loss_sum.double()
        self.soundness.note(total)
        self.progress.rows += rows
        self.place.move()
        return stop

    def _backward(self, mine: np.ndarray, rows: int) -> torch.Tensor:
        """The gradient of this rank's part, `mine (n,)`, of the mean loss over `rows`; returns its summed loss."""
        self.optimizer.zero_grad()
        losses = []
        for part in (mine,) if self.passes == 1 else np.array_split(mine, self.passes):
            loss = self._loss_sum(self.rows.gather(part, self.world.device), self.recipe.label_smoothing)
            (loss / rows).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        return losses[0] if self.passes == 1 else torch.stack(losses).sum()

    def _together(self, collective: Callable[..., Value], *arguments: Any) -> Value:
        """Calls what returns only when all ranks have called it."""
        self.place.waits = True
        try:
            return collective(*arguments)
        finally:
            self.place.waits = False

    def _loss_sum(self, batch: Batch, label_smoothing: float = 0.0) -> torch.Tensor:
        """The loss summed over a batch's rows: cross-entropy, or squared error in learning units."""
        half = self.recipe.precision == "bf16" or (self.recipe.precision == "auto" and self.world.device.type == "cuda")
        with torch.autocast(self.world.device.type, torch.bfloat16, enabled=half):
            logits = self.model(batch.numbers, batch.categories)
        logits = logits.to(self.rows.dtype)
        if self.rows.classification:
            return functional.cross_entropy(logits, batch.target, reduction="sum", label_smoothing=label_smoothing)
        return functional.mse_loss(logits[:, 0], batch.target, reduction="sum")

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """The mean loss over all validation rows of all ranks."""
        self.model.eval()
        total = torch.zeros((), dtype=torch.float64, device=self.world.device)
        size = max(1, _EVALUATION_ROWS // self.passes)
        for start in range(0, len(self.validation), size):
            total += self._loss_sum(self.validation.span(start, start + size, self.world.device))
            self.place.move()
        loss, rows = self._together(self.world.sums, [float(total), float(len(self.validation))])
        return loss / rows

    def _finish_epoch(self, validation_loss: float) -> None:
        """Reports the epoch, keeps the best weights and decides on an early stop."""
        done = self.progress
        self._refuse_nan(validation_loss)
        train_loss = float(done.loss_sum) / done.rows
        if validation_loss < done.best_loss:
            done.best_loss, done.best_epoch = validation_loss, done.epoch + 1
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        if self.world.leads:
            self.hooks.report(self._record(train_loss, validation_loss))
        patience = self.recipe.early_stopping.patience if self.recipe.early_stopping else None
        done.stopped_early = patience is not None and done.epoch + 1 - done.best_epoch >= patience
        done.begin_next_epoch()

    def _record(self, train_loss: float, validation_loss: float) -> EpochRecord:
        done = self.progress
        saved = self.hooks.checkpoints.saved if self.hooks.checkpoints else Saved()
        return EpochRecord(
            epoch=done.epoch + 1,
            step=done.global_step,
            train_loss=train_loss,
            validation_loss=validation_loss,
            lr=self._learning_rate(done.global_step - 1),
            rows=done.rows,
            rows_per_s=done.rows / max(done.seconds, 1e-9),
            seconds=done.seconds,
            steps=self.order.steps,
            checkpoint_s=saved.seconds,
            checkpoint_bytes=saved.size_bytes,
        )

    def _refuse_nan(self, validation_loss: float = 0.0) -> None:
        """Raises DataError, on all ranks at once, when a loss of this epoch is no number: no such state is kept."""
        done, loss = self.progress, float(self.progress.loss_sum)
        if math.isfinite(loss) and math.isfinite(validation_loss):
            return
        if math.isfinite(loss):
            what = f"The validation loss became {validation_loss} after step {done.global_step}"
            matrix, rows = self.validation, np.arange(len(self.validation))
        else:
            step = done.global_step - done.step + self.soundness.unsound_step + 1
            what = f"The loss became {loss} in step {step}"
            matrix, rows = self.rows, self.soundness.suspects(self.order.epoch(done.epoch))
        inputs = self._together(largest_inputs, matrix, rows, self.world.maxima)
        raise DataError(
            f"{what}, epoch {done.epoch + 1}; its largest inputs, in standard deviations: {inputs}.",
            "Correct such cells or leave the column out (features.ignore); else lower train.optimizer.lr, or set "
            "train.gradient_clip=1.0.",
        )

    def _seed_dropout(self) -> None:
        """Makes dropout a function of (seed, step, rank), so that a resumed step draws what it would have drawn."""
        seed = (self.recipe.seed * 1_000_003 + self.progress.global_step) * 1009 + self.world.rank
        seed %= 2**63
        torch.default_generator.manual_seed(seed)
        if self.world.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _learning_rate(self, step: int) -> float:
        """That of a global step, from 0, before a group's factor."""
        total_steps = self.recipe.epochs * self.order.steps
        return self.learning_rate * learning_rate_factor(self.recipe.schedule, step, total_steps)

    def _checkpoint_is_due(self) -> bool:
        every_s, every_steps = self.recipe.checkpoint_every_s, self.recipe.checkpoint_every_steps
        if every_steps is not None:
            return self.progress.global_step % every_steps == 0
        return every_s is not None and self.hooks.clock() - self.saved_at_s >= every_s

    def _save(self) -> None:
        """Rank 0 writes a checkpoint; all ranks hold the same state, so nobody waits for it but at the next step.

        A loss that is no number is only noted: ranks come here by their own clocks, and refuse it after the next step.
        """
        self.is_unsound = not math.isfinite(float(self.progress.loss_sum))
        if self.world.leads and self.hooks.checkpoints is not None and not self.is_unsound:
            self.hooks.flush()
            self.hooks.checkpoints.write(pack(self.progress, self.model, self.optimizer, self.best))
        self.saved_at_s = self.hooks.clock()

    def _restore(self) -> None:
        if self.hooks.checkpoints is None:
            return
        checkpoint, torn = self.hooks.checkpoints.newest()
        if self.world.leads:
            instead = "using the one before it" if checkpoint else "there is none before it, so training starts over"
            for name in torn:
                self._say(f"checkpoint {name} is damaged; {instead}")
        if checkpoint is None:
            return
        self.progress, self.best = unpack(checkpoint, self.model, self.optimizer)
        if self.world.leads:
            self._say(f"continuing from step {checkpoint.step}, in epoch {self.progress.epoch + 1}")

    def _require_same_step(self) -> None:
        """Ranks each read the newest checkpoint; another writer in that moment must not set them apart."""
        step = self.progress.global_step
        total, squares = self._together(self.world.sums, [step, step**2])
        if squares * self.world.size != total**2:
            raise MachineError(
                f"The ranks restored different checkpoints; rank {self.world.rank} has step {step}.",
                "Another process writes into this run; when it has ended, type the same command again.",
            )

    def _say(self, note: str) -> None:
        self.notes.append(note)
        self.hooks.say(note)

    def _result(self, status: Status) -> Fit:
        done = self.progress
        return Fit(
            status=status,
            epochs=done.epoch,
            steps=done.global_step,
            best_epoch=done.best_epoch,
            best_loss=done.best_loss,
            notes=tuple(self.notes),
        )
