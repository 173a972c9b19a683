"""A job leaves its record and its logs, whatever ends it and whatever its store does meanwhile."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.keeping import Keeper, begin, kept
from cluster.stopping import sigterm_as_ctrl_c
from raymill.console import Console
from raymill.errors import DataError, Interrupted, RaymillError, SpecError, StoreError
from raymill.job_record import JOB_ID, JobRecord, ids, read
from raymill.spec import Spec
from raymill.store import Store

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    task, data = {"type": "classification", "target": "y"}, {"source": "t.csv"}
    return Spec.model_validate({"name": "t", "task": task, "data": data, "store": str(tmp_path / "store")})


@pytest.fixture
def record(spec: Spec) -> JobRecord:
    return begin(spec, "train", "train t.yaml", {})


def found(spec: Spec, id: str) -> JobRecord:
    record = read(Store(spec.store), id, datetime.now(UTC))
    assert record is not None
    return record


def said(spec: Spec, path: str) -> list[str]:
    """The lines of a log, without the time that each begins with."""
    return [line.partition("Z ")[2] for line in Store(spec.store).read_bytes(path).decode().splitlines()]


def test_a_job_that_ends_well_leaves_its_report_and_what_it_said(spec: Spec, record: JobRecord) -> None:
    shown = io.StringIO()
    console = Console(shown)
    with kept(spec, record, console) as report:
        console.say("train     done\nnext:     evaluate")
        console.note("run", "t-01234567")
        console.note("run", "t-01234567")
        console.note("retry", "rank 1 died")
        console.note("worker", "10.0.0.5 pid 7: hello")
        sys.stderr.write("the user's own\n")
        report |= {"run": "t-01234567"}
    ended = found(spec, record.id)
    assert (ended.state, ended.exit_code, ended.report) == ("succeeded", 0, {"run": "t-01234567"})
    assert (ended.where, ended.words, ended.runs) == ("embedded", "train t.yaml", ("t-01234567",))
    assert [(event["kind"], event["text"]) for event in ended.events] == [("retry", "rank 1 died")]
    assert ended.ended is not None
    assert said(spec, ended.driver_log) == ["train     done", "next:     evaluate", "the user's own"]
    assert said(spec, ended.workers_log) == ["10.0.0.5 pid 7: hello"]
    assert shown.getvalue() == "train     done\nnext:     evaluate\n"


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (DataError("No such column.", "Correct it."), "failed", 2),
        (Interrupted("Stopped.", "Go on."), "interrupted", 130),
        (KeyboardInterrupt(), "interrupted", 130),
    ],
)
def test_a_job_that_ends_badly_leaves_the_error(
    spec: Spec, record: JobRecord, error: BaseException, state: str, code: int
) -> None:
    with pytest.raises(type(error)), kept(spec, record, Console(io.StringIO())):
        raise error
    ended = found(spec, record.id)
    assert (ended.state, ended.exit_code, ended.traceback) == (state, code, None)
    assert ended.error is not None
    assert said(spec, ended.driver_log) == [f"error: {ended.error['what']}", ended.error["fix"]]
    if isinstance(error, RaymillError):
        assert ended.error == {"what": error.what, "fix": error.fix}


def test_a_defect_of_ours_leaves_its_traceback(spec: Spec, record: JobRecord) -> None:
    calm = sigterm_as_ctrl_c()  # a block in which nobody has interrupted yet
    with calm, pytest.raises(ZeroDivisionError), kept(spec, record, Console(io.StringIO())):
        _ = 1 / 0
    ended = found(spec, record.id)
    assert ended.exit_code == 70
    assert "ZeroDivisionError" in str(ended.traceback) and "test_keeping.py" in str(ended.traceback)


def test_a_job_has_the_name_that_its_submission_gave_it(spec: Spec) -> None:
    inside = {JOB_ID: "t-train-20261122-120000-abcd", "RAY_JOB_CONFIG_JSON_ENV_VAR": "{}", "RAY_ADDRESS": "h:6379"}
    record = begin(spec, "train", "", inside)
    assert (record.id, record.where) == ("t-train-20261122-120000-abcd", "h:6379")


class Moody(Store):
    """A store that is away when told so."""

    away = False

    def at_once(self) -> Moody:
        return self

    def write_bytes(self, path: str, data: bytes) -> None:
        if self.away:
            raise StoreError("The store is away.", "Wait.")
        super().write_bytes(path, data)


def test_a_running_job_says_from_time_to_time_that_it_is_there(spec: Spec, record: JobRecord) -> None:
    times = [NOON]
    keeper = Keeper(Store(spec.store), record, clock=lambda: times[-1])
    assert keeper.write()
    times.append(NOON + timedelta(seconds=10))
    assert keeper.write()
    assert found(spec, record.id).alive == "2026-11-22T12:00:10Z"


def test_a_log_is_written_again_only_where_it_is_longer(spec: Spec, record: JobRecord) -> None:
    keeper, store = Keeper(Store(spec.store), record), Store(spec.store)
    keeper.hear("said", "one")
    keeper.write()
    store.delete(record.driver_log)
    keeper.write()
    assert not store.exists(record.driver_log) and not store.exists(record.workers_log)
    keeper.hear("said", "two")
    keeper.write()
    assert said(spec, record.driver_log) == ["one", "two"]


def test_the_name_of_a_file_that_is_no_utf_8_is_kept_in_a_log(spec: Spec, record: JobRecord) -> None:
    keeper = Keeper(Store(spec.store), record)
    keeper.hear("said", "Could not read /data/a\udcff.csv.")
    assert keeper.write()
    assert said(spec, record.driver_log) == [r"Could not read /data/a\udcff.csv."]


def test_a_store_that_is_away_is_said_once_and_what_was_said_meanwhile_comes_later(
    spec: Spec, record: JobRecord
) -> None:
    store = Moody(spec.store)
    keeper = Keeper(store, record)
    store.away = True
    keeper.hear("said", "one")
    assert not keeper.write() and not keeper.write()
    store.away = False
    keeper.hear("said", "two")
    assert keeper.write() and keeper.write()
    assert said(spec, record.driver_log) == [
        "one",
        "this log can't be kept now: The store is away.",
        "two",
        "this log is kept again",
    ]


def test_a_store_that_stays_away_fails_no_job(record: JobRecord, spec: Spec, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    shown = io.StringIO()
    with kept(spec.model_copy(update={"store": f"{tmp_path}/file/below"}), record, Console(shown)):
        pass
    assert "WARNING: the log of this job is not in" in shown.getvalue()


def test_a_store_that_cannot_be_one_is_left_to_the_job_to_say(
    spec: Spec, record: JobRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = spec.model_copy(update={"store": "gs://lake/t"})
    with pytest.raises(SpecError), kept(nowhere, record, Console(io.StringIO())):
        Store(nowhere.store).check()
    assert "Traceback" not in capsys.readouterr().err


def test_a_store_that_hangs_holds_no_job_for_longer_than_it_may(spec: Spec, record: JobRecord) -> None:
    goes_on = threading.Event()

    class Hanging(Moody):
        def write_bytes(self, path: str, data: bytes) -> None:
            goes_on.wait(60)

    keeper = Keeper(Hanging(spec.store), record)
    keeper.start()
    assert keeper.end(0.01, state="succeeded") == "nothing could be written in time"
    goes_on.set()


def test_no_secret_reaches_a_log(spec: Spec, record: JobRecord) -> None:
    keeper = Keeper(Store(spec.store), record)
    keeper.hear("worker", "10.0.0.5 pid 7: s3://KEY:SECRET@lake/a")
    keeper.hear("retry", "no s3://KEY:SECRET@lake/a")
    keeper.write()
    assert said(spec, record.workers_log) == ["10.0.0.5 pid 7: s3://lake/a"]
    assert found(spec, record.id).events[0]["text"] == "no s3://lake/a"


KILLED = """
import sys, time
from cluster.keeping import begin, kept
from raymill.console import Console
from raymill.spec_text import load_spec
spec = load_spec(sys.argv[1])
console = Console()
with kept(spec, begin(spec, "train", "train t.yaml", {}), console):
    console.say("hello")
    time.sleep(600)
"""


def test_a_killed_driver_leaves_a_record_that_reads_lost(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("name: t\ntask: {type: regression, target: y}\ndata: {source: t.csv}\nstore: store\n")
    store = Store(str(tmp_path / "store"))
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)])
    try:
        while not list(Path(store.uri).glob("jobs/*/job.json")):
            assert process.poll() is None
        (id,) = ids(store, "t")
        now = datetime.now(UTC)
        running = read(store, id, now)
        assert running is not None and running.state == "running"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    lost = read(store, id, now)
    assert lost is not None and lost.state == "lost"
