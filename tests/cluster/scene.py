"""A job on the cluster that waits where a test wants it, and what a test may do to it there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from raymill.history import read_history
from raymill.store import Store
from tests.cluster import held
from tests.cluster.laptop import BUCKET, Laptop
from tests.cluster.servers import Nodes, s3_client, s3_environment

# 455 rows in batches of 64 are 8 steps an epoch; a rank fits on any node but the head, one on each.
TRAIN = {"epochs": 4, "workers": 2, "batch_size": 64, "checkpoint_every": 5, "cpus_per_worker": 1.5}
STORE = f"s3://{BUCKET}/faults"
_WITHIN_S = 600.0


@dataclass
class Scene:
    """A command whose job waits at given points; `at` is the one where it is now or will be next."""

    laptop: Laptop
    folder: Path
    points: Sequence[int]
    command: str = "train"
    train: dict[str, Any] = field(default_factory=lambda: dict(TRAIN))
    dropout: float = 0.1
    at: int = 0
    process: subprocess.Popen[str] | None = None
    reached_s: dict[int, float] = field(default_factory=dict)

    def start(self, *overrides: str) -> None:
        """Types the command, for the first time or again."""
        shutil.copy(held.__file__, self.laptop.folder / "held.py")
        options = {"folder": str(self.folder), "points": list(self.points), "dropout": self.dropout}
        model = {"import": "held.build_model", "options": options}
        self.laptop.spec("held", model=model, train=self.train, store=STORE)
        self.process = self.laptop.start(self.command, "held.yaml", "--json", *overrides)

    def ranks(self, elastic: int = 0) -> list[dict[str, Any]]:
        """Where each rank waits, as soon as all do; of an elastic training as many as are told."""
        assert self.process is not None
        until_s = time.monotonic() + _WITHIN_S
        count = elastic or (self.train["workers"] if self.points[self.at] else 1)
        reached = [self.folder / f"reached-{self.at}-{rank}" for rank in range(count)]
        while not all(file.exists() for file in reached):
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < until_s, f"the job did not come to its point {self.at}"
            time.sleep(0.1)
        self.reached_s.setdefault(self.at, time.time())
        return [json.loads(file.read_text()) for file in reached]

    def go(self) -> None:
        (self.folder / f"go-{self.at}").touch()
        self.at += 1

    def went_on_after_s(self, index: int = 0) -> float:
        """Seconds from a point, where a deed was done, to the first training step after it."""
        return (self.folder / f"on-{index}").stat().st_mtime - self.reached_s[index]

    def end(self) -> tuple[int, str, str]:
        """The command's exit code, what it reported and what it said, when it has ended."""
        assert self.process is not None
        out, err = self.process.communicate(timeout=_WITHIN_S)
        return self.process.returncode, out, err

    def succeeds(self) -> tuple[dict[str, Any], str]:
        code, out, err = self.end()
        assert code == 0, err
        return json.loads(out), err

    def close(self) -> None:
        """Lets go of whoever still waits."""
        for index in range(len(self.points)):
            (self.folder / f"go-{index}").touch()
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + _WITHIN_S
    while not is_so():
        assert time.monotonic() < until_s, what
        time.sleep(0.2)


def wait_for_a_stop(scene: Scene, what: str) -> None:
    """Until the ranks have heard, where they wait, that they are asked to stop; `what` is wrong where they never do."""
    wait_for((scene.folder / f"asked-{scene.at}").exists, what)


Deed = Callable[[Scene], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def worker_killed(scene: Scene) -> Iterator[None]:
    os.kill(scene.ranks()[-1]["pid"], signal.SIGKILL)
    yield


@contextlib.contextmanager
def first_node_killed(scene: Scene) -> Iterator[None]:
    """The node that holds rank 0; another one comes."""
    scene.laptop.nodes.kill(scene.ranks()[0]["node"])
    scene.laptop.nodes.add()
    yield


@contextlib.contextmanager
def other_node_killed(scene: Scene) -> Iterator[None]:
    scene.laptop.nodes.kill(scene.ranks()[-1]["node"])
    scene.laptop.nodes.add()
    yield


@contextlib.contextmanager
def notice_given(scene: Scene) -> Iterator[None]:
    """The node that holds rank 0 will be taken away, and is after the block; another one comes."""
    first = scene.ranks()[0]["node"]
    scene.laptop.nodes.add()
    scene.laptop.nodes.notice(first, _WITHIN_S)
    wait_for_a_stop(scene, "nobody took notice")
    yield
    scene.laptop.nodes.kill(first)


@contextlib.contextmanager
def driver_killed(scene: Scene) -> Iterator[None]:
    """The job's own process on the cluster's head; Ray ends the ranks."""
    ranks = [psutil.Process(rank["pid"]) for rank in scene.ranks()]
    words = [(process, words_of(process)) for process in processes_of(scene.laptop.nodes)]
    (driver,) = (process for process, said in words if f"jobs.{scene.command}" in said and said[0] != "/bin/sh")
    driver.kill()
    _, left = psutil.wait_procs(ranks, timeout=_WITHIN_S)
    assert not left
    yield


@contextlib.contextmanager
def head_started_again(scene: Scene) -> Iterator[None]:
    scene.ranks()
    scene.laptop.nodes.restart()
    yield


def s3_stopped(seconds: float) -> Deed:
    return lambda scene: _stopped(scene, scene.laptop.s3.signal, seconds)


def mlflow_stopped(seconds: float) -> Deed:
    return lambda scene: _stopped(scene, scene.laptop.mlflow.signal, seconds)


@contextlib.contextmanager
def _stopped(scene: Scene, send: Callable[[signal.Signals], None], seconds: float) -> Iterator[None]:
    """A server that answers nobody, from the point on and for so many seconds after the block."""
    scene.ranks()
    send(signal.SIGSTOP)
    try:
        yield
        time.sleep(seconds)
    finally:
        send(signal.SIGCONT)


@contextlib.contextmanager
def disk_filled(scene: Scene) -> Iterator[None]:
    """The cluster's own disk, which it must have, is full until the job is at its next point."""
    scene.ranks()
    scene.laptop.nodes.fill_disk()
    try:
        yield
        scene.ranks()
    finally:
        scene.laptop.nodes.free_disk()


@contextlib.contextmanager
def checkpoint_corrupted(scene: Scene) -> Iterator[None]:
    """The newest checkpoint loses its second half."""
    scene.ranks()
    client = s3_client(scene.laptop.s3)
    found = client.list_objects_v2(Bucket=BUCKET, Prefix="faults/runs/")["Contents"]
    newest = max((o for o in found if "/checkpoints/" in o["Key"]), key=lambda o: (o["LastModified"], o["Key"]))
    data = client.get_object(Bucket=BUCKET, Key=newest["Key"])["Body"].read()
    client.put_object(Bucket=BUCKET, Key=newest["Key"], Body=data[: len(data) // 2])
    yield


def processes_of(nodes: Nodes) -> list[psutil.Process]:
    """All processes of a cluster, its jobs' among them."""
    return psutil.Process(nodes.process.pid).children(recursive=True)


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() or [""]
    except psutil.Error:  # ended meanwhile
        return [""]


@dataclass(frozen=True)
class Result:
    """What a training leaves: its metrics, its epochs in the store, and its epochs in MLflow."""

    metrics: dict[str, float]
    rows: list[tuple[int, int, int]]
    losses: list[float]
    tracked: list[tuple[int, float]]

    @classmethod
    def of(cls, report: dict[str, Any], laptop: Laptop) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in s3_environment(laptop.s3).items():
                patch.setenv(name, value)
            records = read_history(Store(STORE), f"runs/{report['run']}/history")
        query = urllib.parse.urlencode({"run_id": report["run_id"], "metric_key": "train_loss"})
        with urllib.request.urlopen(f"{laptop.mlflow.uri}/api/2.0/mlflow/metrics/get-history?{query}") as answer:
            tracked = json.load(answer)["metrics"]
        return cls(
            metrics={
                f"{split}/{name}": value for split, found in report["metrics"].items() for name, value in found.items()
            },
            rows=[(r.epoch, r.step, r.rows) for r in records],
            losses=[loss for r in records for loss in (r.train_loss, r.validation_loss)],
            tracked=[(metric["step"], metric["value"]) for metric in tracked],
        )

    def assert_same(self, calm: Result, relative: float = 1e-6) -> None:
        """Of the splits that have been scored, all metrics; a training scores the validation split."""
        splits = {_split(name) for name in self.metrics} | {"validation"}
        scored = {name: value for name, value in calm.metrics.items() if _split(name) in splits}
        assert scored and self.metrics == pytest.approx(scored, rel=relative)
        assert calm.rows and self.rows == calm.rows
        assert self.losses == pytest.approx(calm.losses, rel=relative)
        assert calm.tracked and [step for step, _ in self.tracked] == [step for step, _ in calm.tracked]
        assert [loss for _, loss in self.tracked] == pytest.approx([loss for _, loss in calm.tracked], rel=relative)


def _split(metric: str) -> str:
    return metric.partition("/")[0]
