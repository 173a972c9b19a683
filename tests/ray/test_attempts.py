"""Attempts at a training in this process: what runs out of memory is tried with half the rows, and then explained."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from cluster.attempts import fit_to_the_end
from raymill.console import Console
from raymill.errors import OutOfMemory
from raymill.history import read_history
from raymill.loop import Fit
from raymill.run import Run
from raymill.training import Assignment
from tests.datasets import write_prepared
from tests.recipes import spec_of

pytestmark = pytest.mark.usefixtures("ray_session")


def train(folder: Path, rows: int) -> tuple[Fit, list[float], str]:
    """A fit of three epochs in batches of 100 with memory for so many rows; its losses, and what was said."""
    prepared = write_prepared(str(folder / "dataset"), "late")
    spec = spec_of({"import": "tests.networks.hungry", "options": {"rows": rows}}, prepared.task.kind)
    spec = spec.model_copy(update={"store": str(folder / "store")})
    run, said = Run.of(spec, prepared), io.StringIO()
    assignment = Assignment(run=run.name, spec=spec, dataset_uri=prepared.uri, run_id="abc")
    fit = fit_to_the_end(assignment, run, threading.Event(), Console(said))
    return fit, [record.train_loss for record in read_history(run.store, run.history)], said.getvalue()


def test_a_step_that_needs_too_much_memory_is_made_in_two_passes_with_the_same_losses(tmp_path: Path) -> None:
    calm, calm_losses, _ = train(tmp_path / "calm", rows=100)
    fit, losses, said = train(tmp_path / "hungry", rows=50)
    assert (fit.status, fit.steps) == (calm.status, calm.steps)
    assert losses == pytest.approx(calm_losses, rel=1e-12)
    assert "attempt 1 failed (Rank 0 needed more memory than its machine has by step 1, with about 100 rows" in said
    assert "half the rows at a time now); starting over" in said


def test_what_needs_too_much_memory_in_two_passes_too_ends_with_advice(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="with about 50 rows at a time") as caught:
        train(tmp_path, rows=10)
    assert caught.value.fix.startswith("Lower train.batch_size")
