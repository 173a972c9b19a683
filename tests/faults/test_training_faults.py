"""A run whose worker or driver is killed with SIGKILL at a given step ends as the undisturbed run does."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from raymill.history import read_history
from raymill.job_record import JobRecord, newest
from raymill.store import Store

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
# 455 or so train rows in batches of 64 are 8 steps an epoch: step 29 is in the middle of the fourth.
RECIPE = "{epochs: 6, batch_size: 64, checkpoint_every: 5, seed: 3, optimizer: {lr: 0.002}}"
KILL_AT_STEP = 29


@dataclass(frozen=True)
class Scene:
    """One store and one spec, whose network kills a process at a step unless the marker exists."""

    folder: Path

    @property
    def marker(self) -> Path:
        return self.folder / "killed"

    @property
    def victim(self) -> Path:
        return self.folder / "driver.pid"

    def command(
        self, workers: int, rank: int = 0, driver: bool = False, signal_number: int = signal.SIGKILL
    ) -> list[str]:
        options = {"rank": rank, "step": KILL_AT_STEP, "marker": str(self.marker), "signal_number": int(signal_number)}
        if driver:
            options["victim"] = str(self.victim)
        model = json.dumps({"import": "tests.faults.mortal.build_model", "options": options})
        spec = self.folder / "spec.yaml"
        spec.write_text(
            f"name: mortal\ntask: {{type: classification, target: diagnosis}}\n"
            f"data: {{source: 'bundled:breast_cancer'}}\nmodel: {model}\ntrain: {RECIPE}\n"
        )
        return [sys.executable, "-m", "cluster.cli", "train", str(spec), f"train.workers={workers}", "--json"]

    def type(self, *command: str) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.victim.write_text(str(process.pid))
        return process

    def finish(self, process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        return json.loads(out), err

    def best_loss(self, report: dict[str, Any]) -> float:
        manifest = self.folder / ".raymill" / "runs" / report["run"] / "train.json"
        return float(json.loads(manifest.read_text())["best_loss"])

    def jobs(self) -> list[JobRecord]:
        return list(newest(Store(str(self.folder / ".raymill")), "mortal", datetime.now(UTC)))

    def epochs(self, report: dict[str, Any]) -> list[tuple[int, float, int]]:
        records = read_history(Store(str(self.folder / ".raymill")), f"runs/{report['run']}/history")
        return [(r.epoch, r.validation_loss, r.rows) for r in records]


Calm = Callable[[int], tuple[Scene, dict[str, Any]]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """The same run without a signal, once for each number of workers."""

    @functools.cache
    def calm(workers: int) -> tuple[Scene, dict[str, Any]]:
        scene = Scene(folder=tmp_path_factory.mktemp(f"calm-{workers}"))
        scene.marker.touch()
        report, _ = scene.finish(scene.type(*scene.command(workers)))
        return scene, report

    return calm


def assert_same(disturbed: tuple[Scene, dict[str, Any]], calm: tuple[Scene, dict[str, Any]]) -> None:
    (scene, report), (calm_scene, calm_report) = disturbed, calm
    assert scene.best_loss(report) == pytest.approx(calm_scene.best_loss(calm_report), rel=1e-6)
    rows, calm_rows = scene.epochs(report), calm_scene.epochs(calm_report)
    assert [(epoch, seen) for epoch, _, seen in rows] == [(epoch, seen) for epoch, _, seen in calm_rows]
    assert [loss for _, loss, _ in rows] == pytest.approx([loss for _, loss, _ in calm_rows], rel=1e-6)


@pytest.mark.long  # tests/cluster does it too, among other faults
def test_a_killed_worker_is_replaced_and_the_run_ends_as_if_undisturbed(tmp_path: Path, undisturbed: Calm) -> None:
    scene = Scene(folder=tmp_path)
    report, log = scene.finish(scene.type(*scene.command(workers=2, rank=1)))
    assert scene.marker.exists()
    assert "attempt 1 failed" in log
    assert "continuing from step 25" in log
    assert_same((scene, report), undisturbed(2))


def test_a_killed_driver_continues_when_the_command_is_typed_again(tmp_path: Path, undisturbed: Calm) -> None:
    scene = Scene(folder=tmp_path)
    first = scene.type(*scene.command(workers=1))
    first.communicate(timeout=240)
    assert first.returncode == -signal.SIGKILL
    assert [(job.command, job.state) for job in scene.jobs()] == [("train", "lost")]
    report, log = scene.finish(scene.type(*scene.command(workers=1)))
    assert "continuing from step 25" in log
    assert_same((scene, report), undisturbed(1))


@pytest.mark.long  # as with one worker, and as tests/cluster does it
def test_a_killed_driver_of_two_workers_continues_when_the_command_is_typed_again(
    tmp_path: Path, undisturbed: Calm
) -> None:
    scene = Scene(folder=tmp_path)
    first = scene.type(*scene.command(workers=2, driver=True))
    first.communicate(timeout=240)
    assert first.returncode == -signal.SIGKILL
    report, log = scene.finish(scene.type(*scene.command(workers=2, driver=True)))
    assert "continuing from step 25" in log
    assert_same((scene, report), undisturbed(2))


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM])
def test_ctrl_c_and_sigterm_write_a_checkpoint_and_the_same_command_continues(
    tmp_path: Path, undisturbed: Calm, number: signal.Signals
) -> None:
    scene = Scene(folder=tmp_path)
    first = scene.type(*scene.command(workers=1, signal_number=number))
    out, err = first.communicate(timeout=240)
    assert first.returncode == 130, err
    assert json.loads(out)["status"] == "interrupted"
    assert "Training stopped at step" in err
    report, log = scene.finish(scene.type(*scene.command(workers=1, signal_number=number)))
    assert "continuing from step" in log
    assert_same((scene, report), undisturbed(1))


def test_the_users_own_error_in_one_of_two_workers_is_two_lines_and_not_retried(tmp_path: Path) -> None:
    scene = Scene(folder=tmp_path)
    process = scene.type(*scene.command(workers=2, rank=1, signal_number=0))
    out, err = process.communicate(timeout=240)
    assert process.returncode == 2, err
    assert json.loads(out)["status"] == "failed"
    assert "ValueError: the user's own mistake" in err
    assert "Traceback" not in err and "attempt 1 " not in err
