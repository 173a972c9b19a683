"""A real MLflow server that is killed in the midst of a walk and started again: nothing ends, is lost or doubled."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobs.run import walk
from raymill.console import Console
from raymill.history import read_history
from raymill.spec import Spec
from raymill.store import Store
from raymill.tracking import connect
from tests.cluster.servers import Mlflow, mlflow_server

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("ray_session")]
STEPS_AN_EPOCH = 8  # 455 or so train rows in batches of 64
EPOCHS = 10


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder, str(folder / "artifacts"), {}) as server:
        yield server


class Scene:
    """A spec in a folder of its own, whose training waits at the beginning of epochs for files beside it.

    While it waits, all finished epochs but perhaps the last one are in the store.
    """

    def __init__(self, folder: Path, mlflow: Mlflow, **pauses: int) -> None:
        self.folder, self.mlflow, self._said = folder, mlflow, io.StringIO()
        steps = {str((epoch - 1) * STEPS_AN_EPOCH + 1): str(folder / file) for file, epoch in pauses.items()}
        self.spec = Spec.model_validate(
            {
                "name": folder.name.replace("_", "-"),
                "task": {"type": "classification", "target": "diagnosis"},
                "data": {"source": "bundled:breast_cancer"},
                "model": {"import": "tests.ray.pausing.build_model", "options": {"pauses": steps}},
                "train": {"epochs": EPOCHS, "batch_size": 64, "checkpoint_every": STEPS_AN_EPOCH},
                "store": str(folder / "store"),
                "tracking": mlflow.uri,
            }
        )

    @property
    def said(self) -> str:
        return self._said.getvalue()

    def walk(self, last: str) -> Any:
        console = Console(self._said)
        with console.showing("raymill.store"):
            return walk(self.spec, last, console)

    def stored(self) -> list[Any]:
        """The epochs in the store's history, of the only run."""
        runs = [f.path.split("/")[1] for f in Store(self.spec.store).files("runs", recursive=True)]
        return read_history(Store(self.spec.store), f"runs/{runs[0]}/history") if runs else []

    def found(self) -> Any:
        client = connect(self.mlflow.uri)
        (run,) = client.search_runs([client.get_experiment_by_name(self.spec.name).experiment_id], run_view_type=3)
        return run

    def logged(self, key: str = "train_loss") -> list[tuple[int, float, int]]:
        found = connect(self.mlflow.uri).get_metric_history(self.found().info.run_id, key)
        return sorted((m.step, m.value, m.timestamp) for m in found)

    def assert_told_once(self) -> None:
        told = [(r.epoch, r.train_loss, int(r.at_s * 1000)) for r in self.stored()]
        assert self.logged() == told and len(told) == EPOCHS
        assert self.found().info.status == "FINISHED"
        assert len(self.logged("validation/roc_auc")) == 1
        files = connect(self.mlflow.uri).list_artifacts(self.found().info.run_id)
        assert "spec.json" in [file.path for file in files]


@contextmanager
def meanwhile(deeds: Callable[[], None]) -> Iterator[None]:
    """Does something in a thread while the block runs, whose errors are the block's."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(deeds)
        yield
        done.result()


def wait_for(condition: Callable[[], object]) -> None:
    until_s = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.05)


def test_a_server_that_is_killed_and_back_while_training_goes_on_has_every_epoch_once(
    tmp_path: Path, mlflow: Mlflow
) -> None:
    scene = Scene(tmp_path, mlflow, killed=4, back=9)

    def kill_and_start() -> None:
        try:
            wait_for(lambda: len(scene.stored()) >= 2)
            wait_for(lambda: len(scene.logged()) >= 2)
            mlflow.kill()
            (tmp_path / "killed").touch()
            wait_for(lambda: len(scene.stored()) >= 3 + 3 and "the run goes on" in scene.said)
            mlflow.start()
            wait_for(lambda: len(scene.logged()) >= 3 + 3)
        finally:
            (tmp_path / "killed").touch()
            (tmp_path / "back").touch()

    with meanwhile(kill_and_start):
        walked = scene.walk("train")
    assert walked.trained.run_id == scene.found().info.run_id
    assert scene.said.count("is away") == scene.said.count("is back after") == 1
    assert "WARNING" not in scene.said
    scene.assert_told_once()


def test_what_a_server_missed_of_the_end_and_of_an_evaluation_is_sent_by_what_comes_next(
    tmp_path: Path, mlflow: Mlflow
) -> None:
    scene = Scene(tmp_path, mlflow, killed=EPOCHS)

    def kill() -> None:
        try:
            wait_for(lambda: len(scene.stored()) >= EPOCHS - 2)
            mlflow.kill()
        finally:
            (tmp_path / "killed").touch()

    with meanwhile(kill):
        walked = scene.walk("train")
    assert walked.trained.epochs == EPOCHS
    assert "that it has finished" in scene.said and "the same command sends it" in scene.said
    mlflow.start()
    scene.walk("train")
    scene.assert_told_once()

    def kill_until_it_is_missed() -> None:
        try:
            wait_for(lambda: Store(scene.spec.store).files("evaluations", recursive=True))
            mlflow.kill()
            wait_for(lambda: "test metrics, " in scene.said)
        finally:
            mlflow.start()

    with meanwhile(kill_until_it_is_missed):
        walked = scene.walk("promote")
    assert walked.promotion.version.number == 1
    assert walked.promotion.version.run_id == scene.found().info.run_id
    assert "waiting for it for up to 120 s" in scene.said
    assert [len(scene.logged(key)) for key in ("test/roc_auc", "baseline/linear/roc_auc")] == [1, 1]
    plots = connect(mlflow.uri).list_artifacts(scene.found().info.run_id, "plots")
    assert sorted(file.path for file in plots) == ["plots/confusion.png", "plots/loss.png", "plots/roc.png"]
    scene.assert_told_once()
