"""Looking at jobs from the command line: the store answers, also where the cluster that is named doesn't."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.cli import main
from cluster.keeping import begin, kept
from cluster.reading import unseen
from raymill.console import Console
from raymill.errors import DataError
from raymill.job_record import JobRecord, utc
from raymill.spec_text import load_spec
from raymill.store import Store
from tests.ports import free_port

SPEC = "name: t\ntask: {type: classification, target: y}\ndata: {source: t.csv}\nstore: store\n"


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "t.yaml").write_text(SPEC)
    return str(tmp_path / "t.yaml")


@pytest.fixture
def failed(path: str) -> JobRecord:
    """A job that failed, and has said why."""
    spec, console = load_spec(path), Console(io.StringIO())
    record = begin(spec, "train", "train t.yaml", {})
    with pytest.raises(DataError), kept(spec, record, console):
        console.say("train     begins")
        console.note("run", "t-01234567")
        console.note("worker", "10.0.0.5 pid 7 summarise: hello")
        raise DataError("No such column.", "Correct it.")
    return record


def test_logs_of_the_store_are_what_the_job_said(
    path: str, failed: JobRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", path]) == 0
    lines = [line.partition("Z ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["train     begins", "error: No such column.", "Correct it."]
    assert main(["logs", path, "--workers"]) == 0
    assert capsys.readouterr().out.endswith("Z 10.0.0.5 pid 7 summarise: hello\n")


def test_following_a_job_that_has_failed_ends_as_it_did(
    path: str, failed: JobRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", path, "-f", "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["what"] == "No such column."
    assert "train     begins" in shown.err


def test_following_takes_the_newest_job_that_runs(
    path: str, failed: JobRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    store, said = Store(load_spec(path).store), "2026-11-22T12:00:00Z still at work\n"
    now = datetime.now(UTC)
    begun = JobRecord.begin("t", "train", "train t.yaml", "embedded", now - timedelta(hours=1))
    runs = replace(begun, alive=utc(now))
    runs.write(store)
    store.write_bytes(runs.driver_log, said.encode())
    assert main(["logs", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == failed.id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda s: replace(runs, state="succeeded", ended=utc(now)).write(store))
        assert main(["logs", path, "-f", "--json"]) == 0
    assert "still at work" in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_said_and_the_store_is_read(
    path: str, failed: JobRecord, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.reading._PATIENCE_S", 0.0)
    nobody = f"http://127.0.0.1:{free_port()}"
    assert main(["explain", path, "--on", nobody]) == 0
    shown = capsys.readouterr()
    assert f"Nobody answers at {nobody}; the store" in shown.err
    assert "cause     No such column." in shown.out and "run       t-01234567" in shown.out


def test_explain_as_json_is_the_record(path: str, failed: JobRecord, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["id"], found["state"], found["error"]["fix"]) == (failed.id, "failed", "Correct it.")
    assert (found["job"], found["status"]) == ("explain", "succeeded")


def test_list_names_the_jobs_of_the_store_and_one_can_be_chosen(
    path: str, failed: JobRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = load_spec(path)
    later = JobRecord.begin(
        "t", "run", "run t.yaml", "embedded", datetime.fromisoformat(failed.started) + timedelta(minutes=1)
    )
    with kept(spec, later, Console(io.StringIO())):
        pass
    assert main(["list", path]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(failed.id) and "failed, exit code 2, started" in first and "t-01234567" in first
    assert second.startswith(later.id) and "succeeded, started" in second
    assert main(["explain", path, "--job", failed.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == failed.id
    assert main(["list", path, "--json"]) == 0
    assert [job["state"] for job in json.loads(capsys.readouterr().out)["jobs"]] == ["failed", "succeeded"]


def test_a_store_without_a_job_says_so(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", path]) == 2
    assert "has no job of t." in capsys.readouterr().err
    assert main(["list", path]) == 0
    assert capsys.readouterr().out == "no job of raymill yet\n"


def test_list_wants_a_spec_or_a_cluster() -> None:
    with pytest.raises(SystemExit):
        main(["list"])


def test_the_log_of_a_job_that_was_lost_before_it_spoke_is_empty(
    path: str, failed: JobRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(load_spec(path).store).delete(failed.driver_log)
    assert main(["logs", path]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("shown", "text", "new"),
    [
        ("", "a\n", "a\n"),
        ("a\n", "a\nb\n", "b\n"),
        ("a\n" + "b\n" * 3_000, "a\n... left out ...\n" + "b\n" * 2_500 + "c\n", "c\n"),
        ("a\nb\n", "x\n", "x\n"),
    ],
)
def test_what_is_new_in_a_growing_log_is_shown_once(shown: str, text: str, new: str) -> None:
    assert unseen(shown, text) == new
