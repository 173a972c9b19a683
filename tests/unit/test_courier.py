"""The courier against MLflow's own HTTP API, which refuses, forgets to answer or is away: nothing lost or doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from raymill.courier import Courier, require_tracker
from raymill.errors import TrackerError
from raymill.evaluation import Evaluation
from raymill.history import EpochRecord, HistoryWriter, read_history
from raymill.registry import Registry
from raymill.run import Run, Trained
from raymill.scores import score_table
from raymill.spec import Spec
from raymill.store import Store
from raymill.task import Task
from raymill.tracking import connect
from tests.bundles import write_bundle
from tests.recipes import spec_of
from tests.shaky_mlflow import ShakyMlflow, shaky_mlflow

T = TypeVar("T")
TASK = Task(kind="regression", target="y")
ARTIFACTS = ["evaluation.json", "plots/loss.png", "plots/residuals.png", "spec.json"]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShakyMlflow]:
    with shaky_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@dataclass(frozen=True)
class Dataset:
    uri: str = "datasets/x"
    fingerprint: str = "d" * 64
    task: Task = TASK


class Scene:
    """A run of a spec of its own, in a store of its own, with what a training and an evaluation leave there."""

    def __init__(self, folder: Path, mlflow: ShakyMlflow) -> None:
        self.mlflow, self.said = mlflow, list[str]()
        settings = {"name": folder.name.replace("_", "-"), "store": str(folder / "store"), "tracking": mlflow.uri}
        self.spec: Spec = spec_of(kind="regression").model_copy(update=settings)
        self.run = Run.of(self.spec, Dataset())
        self.run.save_spec(self.spec.to_json())
        self.history = HistoryWriter(self.run.store, self.run.history)

    def courier(self) -> Courier:
        return Courier(self.spec, Dataset(), self.said.append)

    def epochs(self, *epochs: int) -> list[EpochRecord]:
        """Epochs that are finished and in the store."""
        facts: dict[str, Any] = {"rows": 10, "rows_per_s": 10.0, "seconds": 1.0, "lr": 0.001}
        for e in epochs:
            done = EpochRecord(epoch=e, step=e, train_loss=1 / e, validation_loss=2 / e, at_s=1e9 + e, **facts)
            self.history.add(done)
        self.history.flush()
        return read_history(self.run.store, self.run.history)

    def conclude(self) -> Trained:
        bundle = self.run.bundle(9)
        places: dict[str, Any] = {"bundle_uri": bundle.uri, "digest": write_bundle(bundle.uri)}
        places |= {"dataset_uri": "datasets/x", "dataset_fingerprint": "d" * 64, "run": self.run.name, "run_id": None}
        facts: dict[str, Any] = {"status": "finished", "epochs": 3, "steps": 9, "best_epoch": 3, "best_loss": 0.5}
        self.run.conclude(Trained(validation={"r2": 0.75, "mae": None}, **facts, **places))
        trained = self.run.trained()
        assert trained is not None
        return trained

    def evaluate(self, trained: Trained) -> Evaluation:
        uri = f"{self.run.store.uri}/evaluations/{self.run.name}/one"
        values = np.linspace(0.0, 1.0, 20)
        Store(uri).write_table("candidate/0.parquet", score_table(values, values**2))
        facts: dict[str, Any] = {"rows": 20, "reasons": {}, "slices": {}, "confusion": None}
        facts |= {"metrics": {"r2": 0.5}, "baselines": {"constant": {"r2": 0.0}}, "dataset_fingerprint": "d" * 64}
        evaluation = Evaluation(uri=uri, run=self.run.name, digest=trained.digest, **facts)
        evaluation.write()
        return evaluation

    def found(self) -> Any:
        """The only run in MLflow."""
        client = connect(self.mlflow.uri)
        experiment = client.get_experiment_by_name(self.spec.name)
        (run,) = client.search_runs([experiment.experiment_id], run_view_type=3)  # deleted ones too
        return run

    def logged(self, key: str) -> list[tuple[int, float, int]]:
        found = connect(self.mlflow.uri).get_metric_history(self.found().info.run_id, key)
        return sorted((m.step, m.value, m.timestamp) for m in found)

    def artifacts(self) -> list[str]:
        client, run_id = connect(self.mlflow.uri), self.found().info.run_id
        files = [*client.list_artifacts(run_id), *client.list_artifacts(run_id, "plots")]
        return sorted(file.path for file in files if not file.is_dir)


@pytest.fixture
def scene(tmp_path: Path, mlflow: ShakyMlflow) -> Iterator[Scene]:
    yield Scene(tmp_path, mlflow)
    mlflow.back()


def insist(action: Callable[[], T]) -> T:
    for _ in range(50):
        with suppress(TrackerError):
            return action()
    raise AssertionError("never done")


@pytest.mark.parametrize("mood", ["refused", "unheard"])
def test_where_each_request_is_first_made_in_vain_each_thing_is_there_once(scene: Scene, mood: str) -> None:
    scene.mlflow.unlucky(mood)
    courier = scene.courier()
    courier.begin()
    first = scene.epochs(1, 2)
    insist(lambda: courier.log_history(first))
    records = scene.epochs(3)
    insist(lambda: courier.log_history(records))
    trained = scene.conclude()
    evaluation = scene.evaluate(trained)
    while courier.deliver(evaluation) is None:
        pass
    run_id = scene.courier().run_id()
    with scene.run.bundle(9).as_folder() as folder:
        names = {"bundle_uri": trained.bundle_uri, "digest": trained.digest, "run_id": run_id}
        registry = Registry(scene.mlflow.uri, waits_s=0.0)
        version = insist(lambda: registry.register(scene.spec.name, folder, **names))
    scene.mlflow.back()
    assert not [line for line in scene.said if "WARNING" in line]
    run = scene.found()
    assert (run.info.status, version.number) == ("FINISHED", 1)
    assert run.info.start_time <= run.info.end_time
    assert scene.logged("train_loss") == [(r.epoch, r.train_loss, int(r.at_s * 1000)) for r in records]
    assert [len(scene.logged(key)) for key in ("test/r2", "validation/r2", "baseline/constant/r2")] == [1, 1, 1]
    assert run.data.tags["validation/mae"].startswith("undefined")
    assert run.data.params["train.epochs"] == "3"
    assert scene.artifacts() == ARTIFACTS
    client = connect(scene.mlflow.uri)
    assert len(client.search_model_versions(f"name = '{scene.spec.name}'")) == 1
    assert len(client.search_logged_models([run.info.experiment_id])) == 1
    assert len(client.get_run(run_id).outputs.model_outputs) == 1


def test_a_run_whose_tracker_is_away_from_beginning_to_end_is_brought_later(scene: Scene) -> None:
    scene.mlflow.away()
    courier = scene.courier()
    assert courier.begin() is None
    with pytest.raises(TrackerError):
        courier.log_history(scene.epochs(1))
    records = scene.epochs(2, 3)
    trained = scene.conclude()
    assert [line for line in scene.said if "is away" in line] == [
        f"MLflow at {scene.mlflow.uri} is away (too many 503 error responses); "
        "the run goes on, and what is finished is sent when it is back"
    ]
    scene.mlflow.back()
    evaluation = scene.evaluate(trained)
    assert scene.courier().deliver(evaluation) == scene.found().info.run_id
    assert scene.found().info.status == "FINISHED"
    assert scene.found().info.start_time <= scene.found().info.end_time
    assert [step for step, *_ in scene.logged("train_loss")] == [r.epoch for r in records]
    assert scene.artifacts() == ARTIFACTS


def test_a_tracker_that_no_longer_takes_the_token_is_not_said_to_be_away(scene: Scene) -> None:
    courier = scene.courier()
    courier.begin()
    scene.mlflow.mood = lambda request: "denied"
    with pytest.raises(TrackerError) as caught:
        courier.log_history(scene.epochs(1))
    assert "MLFLOW_TRACKING_TOKEN" in caught.value.fix
    (line,) = scene.said
    assert line.startswith(f"MLflow at {scene.mlflow.uri} refuses this user (") and "error code 401" in line
    scene.mlflow.back()
    courier.log_history(scene.epochs(2))
    assert [step for step, *_ in scene.logged("train_loss")] == [1, 2]


def test_what_has_been_told_is_not_told_again_and_nothing_is_said_of_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier = scene.courier()
    courier.begin()
    scene.epochs(1)
    evaluation = scene.evaluate(scene.conclude())
    courier.deliver(evaluation)
    scene.mlflow.requests.clear()
    assert scene.courier().deliver(evaluation) == scene.found().info.run_id
    assert not [r for r in scene.mlflow.requests if "log-batch" in r or "update" in r or r.startswith("PUT")]
    scene.mlflow.away()
    monkeypatch.setattr("raymill.courier._TRIES_FOR_S", 0.0)
    assert scene.courier().deliver(evaluation) is None
    assert scene.said == []


def test_what_could_not_be_sent_is_named(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.courier().begin()
    evaluation = scene.evaluate(scene.conclude())
    scene.mlflow.away()
    monkeypatch.setattr("raymill.courier._TRIES_FOR_S", 0.0)
    scene.courier().deliver(evaluation)
    assert len(scene.said) == 1
    assert f"Not in MLflow yet of {scene.run.name}: its epochs, its validation metrics, that it has" in scene.said[0]
    assert "test metrics" in scene.said[0] and "the same command sends it" in scene.said[0]


def test_a_training_that_another_process_continues_is_left_to_that_one(scene: Scene) -> None:
    courier = scene.courier()
    courier.begin()
    scene.conclude()
    with scene.run.lease():
        scene.courier().deliver()
        assert scene.found().info.status == "RUNNING"
    scene.courier().deliver()
    assert scene.found().info.status == "FINISHED"


def test_a_run_that_failed_is_told_with_its_last_epochs(scene: Scene) -> None:
    courier = scene.courier()
    courier.begin()
    scene.epochs(1, 2)
    courier.end("FAILED")
    assert scene.found().info.status == "FAILED"
    assert [step for step, *_ in scene.logged("lr")] == [1, 2]
    again = scene.courier()
    again.begin()
    assert scene.found().info.status == "RUNNING"
    scene.mlflow.away()
    again.end("KILLED")
    assert "Not in MLflow yet" in scene.said[-1] and "that it is KILLED" in scene.said[-1]


def test_a_tracker_that_does_not_answer_is_refused_unless_a_run_has_used_it(scene: Scene) -> None:
    scene.mlflow.away()
    require_tracker(scene.spec, scene.said.append)
    assert "It has been used before" in scene.said[0]
    with pytest.raises(TrackerError, match="could not open experiment"):
        require_tracker(scene.spec.model_copy(update={"name": "fresh"}), scene.said.append)
    with pytest.raises(TrackerError, match="could not open experiment"):
        require_tracker(scene.spec.model_copy(update={"tracking": "http://127.0.0.1:1"}), scene.said.append)
