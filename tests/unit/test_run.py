"""A run's name is found again by the same command, and its folders hold what it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raymill.errors import DataError
from raymill.run import Run, Trained
from tests.recipes import spec_of


@dataclass(frozen=True)
class Dataset:
    fingerprint: str = "d" * 64


def name(model: dict[str, Any] | None = None, dataset: str = "d" * 64, **train: Any) -> str:
    return Run.of(spec_of(model, **train), Dataset(dataset)).name


def test_the_same_spec_and_dataset_have_the_same_name() -> None:
    assert name() == name()
    assert name().startswith("fake-") and len(name()) == len("fake-") + 8


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 30},
        {"workers": 3},
        {"cpus_per_worker": 2},
        {"gpus_per_worker": 1},
        {"checkpoint_every": 50},
    ],
)
def test_what_may_change_when_a_run_continues_does_not_change_its_name(change: dict[str, Any]) -> None:
    assert name(**change) == name()


def test_a_priority_makes_no_other_run() -> None:
    spec = spec_of().model_copy(update={"priority": "high"})
    assert Run.of(spec, Dataset("d" * 64)).name == name()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6},
        {"batch_size": 101},
        {"optimizer": {"lr": 0.5}},
        {"precision": "float32"},
        {"model": {"type": "linear"}},
        {"model": {"import": "tests.networks.half"}},
        {"dataset": "e" * 64},
    ],
)
def test_what_makes_another_model_makes_another_name(change: dict[str, Any]) -> None:
    assert name(**change) != name()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    spec = spec_of().model_copy(update={"store": str(tmp_path)})
    return Run.of(spec, Dataset())


def trained(run: Run) -> Trained:
    return Trained(
        run=run.name,
        run_id="abc",
        status="finished",
        epochs=3,
        steps=15,
        best_epoch=2,
        best_loss=0.25,
        bundle_uri=run.bundle(15).uri,
        digest="f" * 64,
        dataset_uri="datasets/x",
        dataset_fingerprint="d" * 64,
        validation={"roc_auc": 0.9, "f1": None},
    )


def test_a_run_is_finished_when_its_manifest_is_there(run: Run) -> None:
    assert run.trained() is None
    run.conclude(trained(run))
    assert run.trained() == trained(run)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"format": 99}, "has the format 99"),
        ({"format": None}, "has the format None"),
        ({"colour": "red"}, "has a field 'colour'"),
    ],
)
def test_a_manifest_of_another_version_says_so_and_names_the_file(run: Run, change: Any, found: str) -> None:
    run.conclude(trained(run))
    path = f"{run.folder}/train.json"
    run.store.write_json(path, run.store.read_json(path) | change)
    with pytest.raises(DataError, match=rf"{path} was written by another version of raymill: it {found}"):
        run.trained()


def test_a_longer_training_has_a_bundle_of_its_own(run: Run) -> None:
    assert run.bundle(15).uri != run.bundle(30).uri


def test_a_stop_is_of_one_attempt_and_leaves_nothing(run: Run) -> None:
    stop = run.stop("first")
    assert not stop.is_asked()
    stop.ask()
    stop.ask()
    assert run.stop("first").is_asked() and not run.stop("second").is_asked()
    stop.end()
    assert not stop.is_asked() and run.store.files(recursive=True) == []


def test_a_stop_that_is_written_when_its_attempt_is_over_is_taken_back(run: Run) -> None:
    stop = run.stop("first")
    stop.end()
    stop.ask()
    assert run.store.files(recursive=True) == []


def test_the_resolved_spec_is_kept_with_the_run(run: Run) -> None:
    run.save_spec(spec_of().to_json())
    assert run.store.read_json(f"runs/{run.name}/spec.json")["name"] == "fake"
