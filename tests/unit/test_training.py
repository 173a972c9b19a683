"""One rank, alone: from a dataset's URI to a bundle and the run's manifest."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raymill.bundle import Bundle
from raymill.errors import DataError, SpecError, StoreError
from raymill.history import read_history
from raymill.loop import Place
from raymill.metrics import measure
from raymill.predictor import Predictor
from raymill.prepared import Prepared
from raymill.run import Run
from raymill.spec import Spec
from raymill.stop import Stop
from raymill.target import encode_target
from raymill.training import Assignment, train_rank
from tests.datasets import raw_rows, write_prepared
from tests.recipes import spec_of


@pytest.fixture(params=["late", "delay"])
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Prepared:
    return write_prepared(str(tmp_path / "dataset"), request.param)


def assignment(prepared: Prepared, store: Path, model: dict[str, Any] | None = None, **train: Any) -> Assignment:
    spec = spec_of(model, prepared.task.kind, **({"precision": "float32"} | train))
    spec = spec.model_copy(update={"store": str(store), "tracking": "http://me:hush@mlflow:5000"})
    run = Run.of(spec, prepared).name
    return Assignment(run=run, spec=spec, dataset_uri=prepared.uri, run_id="abc", git_commit="c0ffee")


def run_of(given: Assignment) -> Run:
    return Run.of(given.spec, Prepared.open(given.dataset_uri))


def test_a_finished_run_leaves_its_manifest_its_bundle_and_its_history(prepared: Prepared, tmp_path: Path) -> None:
    given = assignment(prepared, tmp_path / "store")
    fit = train_rank(given)
    run = run_of(given)
    trained = run.trained()
    assert trained is not None and fit.status == trained.status == "finished"
    assert (trained.epochs, trained.steps, trained.run_id) == (3, 15, "abc")
    assert [record.epoch for record in read_history(run.store, run.history)] == [1, 2, 3]
    assert [record.rows for record in read_history(run.store, run.history)] == [403] * 3
    bundle = Bundle.read(trained.bundle_uri, trained.digest)
    assert bundle.lineage["dataset_fingerprint"] == prepared.fingerprint
    assert bundle.drift_reference == prepared.drift_reference is not None


def test_the_bundle_scores_the_validation_rows_as_training_measured_them(prepared: Prepared, tmp_path: Path) -> None:
    given = assignment(prepared, tmp_path / "store", epochs=8)
    train_rank(given)
    trained = run_of(given).trained()
    assert trained is not None
    raw = raw_rows(61, seed=1)
    target, _ = encode_target(prepared.task, raw[prepared.task.target])
    measured = measure(prepared.task, target, Predictor.load(trained.bundle_uri, trained.digest).predict(raw))
    for name, value in trained.validation.items():
        assert measured[name].value == pytest.approx(value, rel=1e-5, abs=1e-6)


def test_no_secret_of_the_spec_gets_into_the_bundle(prepared: Prepared, tmp_path: Path) -> None:
    given = assignment(prepared, tmp_path / "store")
    train_rank(given)
    for path in (tmp_path / "store").rglob("*.json"):
        assert "hush" not in path.read_text()


def test_a_run_that_is_asked_to_stop_leaves_a_checkpoint_and_continues(prepared: Prepared, tmp_path: Path) -> None:
    given = assignment(prepared, tmp_path / "store", epochs=2)
    whole = train_rank(assignment(prepared, tmp_path / "other", epochs=2))
    slow = assignment(prepared, tmp_path / "store", {"import": "tests.networks.build_model"}, epochs=10_000)
    run = run_of(slow)
    threading.Timer(0.2, run.stop("first").ask).start()
    run.stop("late").ask()
    fit = train_rank(replace(slow, attempt="first"))
    assert fit.status == "interrupted" and 0 < fit.steps < 50_000
    assert run.trained() is None
    assert len(run.store.files(run.checkpoints)) == 1
    said: list[str] = []
    short = replace(slow, attempt="second", spec=_with_epochs(slow.spec, fit.epochs + 1))
    assert train_rank(short, say=said.append).epochs == fit.epochs + 1
    assert said[0].startswith(f"continuing from step {fit.steps}")
    assert train_rank(given) == whole


def test_a_store_that_was_away_for_a_while_makes_nobody_deaf(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = assignment(prepared, tmp_path / "store", {"import": "tests.networks.build_model"}, epochs=10_000)
    run_of(given).stop("first").ask()
    is_asked, failures = Stop.is_asked, [StoreError("It is away.", "Wait.")]

    def away_once(self: Stop) -> bool:
        if failures:
            raise failures.pop()
        return is_asked(self)

    monkeypatch.setattr(Stop, "is_asked", away_once)
    assert train_rank(replace(given, attempt="first")).status == "interrupted"


def _with_epochs(spec: Spec, epochs: int) -> Spec:
    return spec.model_copy(update={"train": spec.train.model_copy(update={"epochs": epochs})})


def test_more_epochs_leave_the_first_bundle_as_it_is(prepared: Prepared, tmp_path: Path) -> None:
    given = assignment(prepared, tmp_path / "store")
    train_rank(given)
    first = run_of(given).trained()
    train_rank(replace(given, spec=_with_epochs(given.spec, 5)))
    second = run_of(given).trained()
    assert first is not None and second is not None
    assert (first.run, first.epochs, second.run, second.epochs) == (second.run, 3, first.run, 5)
    assert Predictor.load(first.bundle_uri, first.digest).digest == first.digest
    assert Predictor.load(second.bundle_uri, second.digest).digest == second.digest != first.digest


def test_a_network_that_fails_in_training_is_the_users_to_mend(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="the network failed by step 3: ValueError: too tired"):
        train_rank(assignment(prepared, tmp_path / "store", {"import": "tests.networks.tiring"}))
    with pytest.raises(SpecError, match="the network failed by step 1: SystemExit: 4"):
        train_rank(assignment(prepared, tmp_path / "store", {"import": "tests.networks.leaving"}))


def test_a_loss_that_is_no_number_leaves_no_manifest(prepared: Prepared, tmp_path: Path) -> None:
    given = assignment(prepared, tmp_path / "store", optimizer={"lr": 1e30}, epochs=20)
    with pytest.raises(DataError, match="The loss became"):
        train_rank(given)
    assert run_of(given).trained() is None


def test_a_rank_is_watched_from_its_first_shard_on_and_moves_with_each(prepared: Prepared, tmp_path: Path) -> None:
    moves, shard = list[int](), prepared.splits["train"].shards[1]
    prepared.store.write_bytes(shard.path, b"damaged")

    @contextmanager
    def watched(place: Place) -> Iterator[None]:
        moves.append(place.moves)
        try:
            yield
        finally:
            moves.append(place.moves)

    with pytest.raises(DataError, match=shard.path):
        train_rank(assignment(prepared, tmp_path / "store"), watched=watched)
    assert moves == [0, 1]


def test_a_damaged_shard_is_named_before_a_step_is_taken(prepared: Prepared, tmp_path: Path) -> None:
    shard = prepared.splits["train"].shards[1]
    prepared.store.write_bytes(shard.path, prepared.store.read_bytes(shard.path)[:-1])
    with pytest.raises(DataError, match=shard.path):
        train_rank(assignment(prepared, tmp_path / "store"))


def test_threads_are_as_many_as_the_worker_was_promised(prepared: Prepared, tmp_path: Path) -> None:
    train_rank(assignment(prepared, tmp_path / "store", epochs=1, cpus_per_worker=3))
    assert torch.get_num_threads() == 3
    train_rank(assignment(prepared, tmp_path / "store2", epochs=1, cpus_per_worker=0.5))
    assert torch.get_num_threads() == 1


def test_nobody_watches_for_a_stop_after_the_end(prepared: Prepared, tmp_path: Path) -> None:
    before = threading.active_count()
    train_rank(assignment(prepared, tmp_path / "store", epochs=1))
    deadline_s = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_float64_is_kept_in_the_bundle(prepared: Prepared, tmp_path: Path) -> None:
    given = assignment(prepared, tmp_path / "store", precision="float64", epochs=1)
    train_rank(given)
    trained = run_of(given).trained()
    assert trained is not None
    assert {w.dtype for w in Bundle.read(trained.bundle_uri).weights.values()} == {torch.float64}
    assert np.isfinite(Predictor.load(trained.bundle_uri).predict(raw_rows(5))).all()
