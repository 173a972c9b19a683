"""Tracking against a real MLflow on SQLite."""

from __future__ import annotations

import concurrent.futures
import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from raymill.errors import SpecError, TrackerError
from raymill.history import EpochRecord, HistoryWriter, read_history
from raymill.mlflow_settings import be_impatient
from raymill.store import Store
from raymill.tracking import TrackedRun, Tracker, ask, connect


def record(epoch: int, train_loss: float = 0.5) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        step=epoch * 10,
        train_loss=train_loss,
        validation_loss=epoch / 100,
        lr=0.001,
        rows=100,
        rows_per_s=50.0,
        seconds=2.0,
        at_s=1_700_000_000.0 + epoch,
    )


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"
    connect(uri)
    return uri


@pytest.fixture
def tracker(uri: str, tmp_path: Path) -> Tracker:
    return Tracker.open(uri, tmp_path.name, str(tmp_path / "artifacts"))


@pytest.fixture
def run(tracker: Tracker) -> TrackedRun:
    return tracker.run("a-run", params={}, tags={})


def logged(uri: str, run_id: str, metric: str = "train_loss") -> list[tuple[int, float]]:
    return sorted((m.step, m.value) for m in connect(uri).get_metric_history(run_id, metric))


def data(uri: str, run: TrackedRun) -> Any:
    return connect(uri).get_run(run.id).data


def test_importing_it_does_not_import_mlflow() -> None:
    code = "import sys, raymill.tracking, raymill.following; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_experiment_keeps_its_artifacts_where_it_was_told(uri: str, tracker: Tracker, tmp_path: Path) -> None:
    found = connect(uri).get_experiment_by_name(tmp_path.name)
    assert found.artifact_location == str(tmp_path / "artifacts")


def test_no_artifact_lands_in_the_working_directory(
    run: TrackedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    fresh = Tracker.open(f"sqlite:///{tmp_path}/fresh/mlflow.db", "x", str(tmp_path / "files"))
    fresh.run("r", params={"a": 1}, tags={}).log_json("plots/curve.json", [1])
    run.log_bytes("plots/roc.png", b"png")
    assert list(here.iterdir()) == []
    assert (tmp_path / f"artifacts/{run.id}/artifacts/plots/roc.png").read_bytes() == b"png"


def test_a_file_for_which_the_disk_has_no_room_is_one_that_could_not_be_sent(
    run: TrackedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("raymill.tracking.temporary_folder", full)
    with pytest.raises(TrackerError, match=r"could not store plots/roc\.png: .*No space left"):
        run.log_bytes("plots/roc.png", b"png")


def test_a_new_database_leaves_nothing_else_beside_it(tmp_path: Path) -> None:
    connect(f"sqlite:///{tmp_path}/a/mlflow.db")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["mlflow.db"]


def test_two_processes_may_create_the_database_and_the_experiment_at_once(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    code = (
        "import sys; from raymill.tracking import Tracker; "
        "print(Tracker.open(sys.argv[1], 'x', sys.argv[2])._experiment_id)"
    )
    command = [sys.executable, "-c", code, uri, str(tmp_path / "artifacts")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate(timeout=120)[0] for process in processes)
    assert [p.returncode for p in processes] == [0, 0]
    assert first == second


def test_threads_may_open_the_same_experiment_at_once(uri: str, tmp_path: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: Tracker.open(uri, f"{tmp_path.name}-t", str(tmp_path)), range(4)))
    assert len({t._experiment_id for t in opened}) == 1


def test_opening_says_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from raymill.tracking import Tracker; t = Tracker.open(sys.argv[1], 'x', sys.argv[2]); "
        "r = t.run('r', params={}, tags={}); r.finish('FINISHED')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_run_is_found_again_by_its_name(uri: str, tracker: Tracker) -> None:
    first = tracker.run("same", params={"a": 1}, tags={"t": "x"})
    second = tracker.run("same", params={"a": 1}, tags={"t": "y"})
    assert first.id == second.id != tracker.run("other", params={}, tags={}).id
    assert data(uri, second).tags["t"] == "y"


def test_a_changed_param_stays_and_its_new_value_is_a_tag(uri: str, tracker: Tracker) -> None:
    tracker.run("r", params={"train": {"epochs": 5, "lr": 0.1}}, tags={})
    run = tracker.run("r", params={"train": {"epochs": 9, "lr": 0.1}, "new": True}, tags={})
    assert data(uri, run).params == {"train.epochs": "5", "train.lr": "0.1", "new": "true"}
    assert data(uri, run).tags["now.train.epochs"] == "9"
    tracker.run("r", params={"train": {"epochs": 5, "lr": 0.1}, "new": True}, tags={})
    found = data(uri, run).tags
    assert found["now.train.epochs"] == "5"
    assert "now.train.lr" not in found


def test_many_params_and_tags_are_no_problem(uri: str, tracker: Tracker) -> None:
    wide = {f"column {i}": "x" * 10 for i in range(250)}
    run = tracker.run("wide", params={"features": wide}, tags=wide)
    assert len(data(uri, run).params) == 250
    assert len(data(uri, run).tags) >= 250


def test_no_secret_is_logged(uri: str, tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-from-the-environment")
    secret = {"store": "s3://KEY:hush@bucket/x", "tracking": "http://ann:hush@host"}
    run = tracker.run("secretive", params=secret, tags=secret)
    run.log_json("spec.json", secret)
    run.finish("FINISHED")
    everything = json.dumps(connect(uri).get_run(run.id).to_dictionary())
    everything += "".join(p.read_text() for p in (tmp_path / "artifacts").rglob("*") if p.is_file())
    assert "s3://bucket/x" in everything
    assert "hush" not in everything


def test_epochs_are_logged_at_their_step_and_time(uri: str, run: TrackedRun) -> None:
    run.log_history([record(1), record(2)])
    found = connect(uri).get_metric_history(run.id, "validation_loss")
    assert sorted((m.step, m.value, m.timestamp) for m in found) == [
        (1, 0.01, 1_700_000_001_000),
        (2, 0.02, 1_700_000_002_000),
    ]
    assert set(data(uri, run).metrics) == {"train_loss", "validation_loss", "lr", "rows_per_s"}


def test_an_epoch_sent_again_is_logged_once(uri: str, tracker: Tracker, run: TrackedRun) -> None:
    run.log_history([record(1), record(2)])
    run.log_history([record(2, 9.0), record(3)])
    tracker.run("a-run", params={}, tags={}).log_history([record(1), record(2), record(3), record(4)])
    assert logged(uri, run.id) == [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5)]


def test_thousands_of_epochs_go_in_batches(uri: str, run: TrackedRun) -> None:
    run.log_history([record(epoch) for epoch in range(1, 452)])
    assert [step for step, _ in logged(uri, run.id)] == list(range(1, 452))


def test_a_run_killed_between_flushes_resumed_and_sent_again_has_each_epoch_once(
    uri: str, tracker: Tracker, tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "store"))
    killed = HistoryWriter(store, "history", lambda: 0.0)
    for epoch in range(1, 8):
        killed.add(record(epoch))
        if epoch == 5:
            killed.flush()
    tracker.run("killed", params={}, tags={}).log_history(read_history(store, "history"))

    resumed = HistoryWriter(store, "history", lambda: 0.0)
    for epoch in range(4, 10):
        resumed.add(record(epoch))
    resumed.close()
    run = tracker.run("killed", params={}, tags={})
    run.log_history(read_history(store, "history"))
    run.log_history(read_history(store, "history"))
    assert logged(uri, run.id) == [(epoch, 0.5) for epoch in range(1, 10)]


def test_a_failure_between_batches_loses_and_doubles_nothing(uri: str, run: TrackedRun) -> None:
    class Flaky:
        """A client that refuses every second batch."""

        def __init__(self, client: Any) -> None:
            self.client, self.batches = client, 0

        def get_metric_history(self, *args: Any) -> Any:
            return self.client.get_metric_history(*args)

        def log_batch(self, *args: Any, **kwargs: Any) -> None:
            self.batches += 1
            if self.batches % 2 == 0:
                raise ConnectionError("gone")
            self.client.log_batch(*args, **kwargs)

    flaky = TrackedRun(Flaky(connect(uri)), uri, run.id)  # type: ignore[arg-type]
    records = [record(epoch) for epoch in range(1, 501)]
    for _ in range(2):
        with pytest.raises(TrackerError, match="could not log epochs: gone"):
            flaky.log_history(records)
    flaky.log_history(records)
    assert [step for step, _ in logged(uri, run.id)] == list(range(1, 501))


def test_an_undefined_metric_is_a_tag_with_its_reason(uri: str, run: TrackedRun) -> None:
    values = {"accuracy": 0.9, "roc_auc": None, "f1": None}
    run.log_metrics(values, "test", 1_000, {"roc_auc": "only one class in the test split"})
    assert data(uri, run).metrics == {"test/accuracy": 0.9}
    assert data(uri, run).tags["test/roc_auc"] == "undefined: only one class in the test split"
    assert data(uri, run).tags["test/f1"] == "undefined: no reason given"


def test_metrics_may_lie_in_folders_and_have_any_name(uri: str, run: TrackedRun) -> None:
    run.log_metrics({"roc_auc": 0.5, "carrier=UA/1": 0.25}, "baseline/linear", 1_000)
    assert data(uri, run).metrics == {"baseline/linear/roc_auc": 0.5, "baseline/linear/carrier_UA_1": 0.25}


def test_a_run_ends_and_resumes(uri: str, run: TrackedRun) -> None:
    run.finish("KILLED")
    assert connect(uri).get_run(run.id).info.status == "KILLED"
    run.resume()
    assert connect(uri).get_run(run.id).info.status == "RUNNING"


def test_a_deleted_experiment_says_how_to_restore_it(uri: str, tracker: Tracker, tmp_path: Path) -> None:
    connect(uri).delete_experiment(tracker._experiment_id)
    with pytest.raises(TrackerError, match=r"has been deleted[^$]*mlflow experiments restore"):
        Tracker.open(uri, tmp_path.name, str(tmp_path))


def test_a_server_that_is_not_there_is_said_at_once_and_without_the_password(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before, started_s = dict(os.environ), time.monotonic()
    with pytest.raises(TrackerError) as raised:
        Tracker.open(f"http://ann:hush@127.0.0.1:{port}", "x", str(tmp_path))
    assert time.monotonic() - started_s < 15
    assert f"MLflow at http://127.0.0.1:{port} could not open experiment x: " in raised.value.what
    assert raised.value.what.endswith("Connection refused.")
    assert "hush" not in str(raised.value)
    assert "\n" not in raised.value.what + raised.value.fix
    assert before.items() <= os.environ.items()


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    started_s = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TrackerError, match=r"could not open experiment x: .*timed out"):
            Tracker.open(uri, "x", str(tmp_path))
    assert time.monotonic() - started_s < 10


def test_a_database_that_cannot_be_is_said_in_two_sentences(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackerError, match="could not connect"):
        Tracker.open(f"sqlite:///{tmp_path}/file/mlflow.db", "x", str(tmp_path))


def test_the_users_own_settings_stay_and_none_is_ever_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "99")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    be_impatient()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "99"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


def test_a_database_that_can_not_be_made_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="which is a folder"):
        connect(f"sqlite:///{tmp_path}")
    with pytest.raises(TrackerError, match="could not connect") as caught:
        connect("sqlite:////proc/raymill.db")
    assert "unable to open database" not in str(caught.value), "SQLAlchemy has tried, for its minute and a half"


def test_a_database_without_its_driver_is_the_users_to_install() -> None:
    def import_it() -> None:
        raise ModuleNotFoundError("No module named 'sqlalchemy_of_nobody'", name="sqlalchemy_of_nobody")

    with pytest.raises(SpecError, match="needs the Python package 'sqlalchemy_of_nobody'"):
        ask("nobody://", "ask", import_it)
