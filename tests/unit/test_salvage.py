"""A job that could not say how it ended has it said by who saw it from outside."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.jobs_api import Job
from cluster.salvage import salvage, salvage_lost, unexplained
from raymill.errors import ResourceError
from raymill.job_record import JobRecord, read
from raymill.store import Store

ID = "t-train-20261122-120000-abcd"
AT = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
FAILED = Job(
    id=ID,
    status="FAILED",
    message="Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\n"
    "joined the Ray session\nModuleNotFoundError: No module named 'jobs'",
    exit_code=1,
    started_s=AT.timestamp(),
    ended_s=AT.timestamp() + 5,
    metadata={"raymill": "t", "command": "train"},
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def found(store: Store) -> JobRecord:
    record = read(store, ID, AT)
    assert record is not None
    return record


def log(store: Store) -> str:
    return store.read_bytes(found(store).driver_log).decode()


def test_a_job_that_wrote_nothing_is_written_as_its_cluster_tells_it(store: Store) -> None:
    salvage(store, FAILED, "Traceback\nsee s3://KEY:SECRET@lake/x\n", "http://h:8265")
    record = found(store)
    assert (record.name, record.command, record.state, record.exit_code) == ("t", "train", "failed", 1)
    assert (record.started, record.ended) == ("2026-11-22T12:00:00Z", "2026-11-22T12:00:05Z")
    assert record.error is not None and "No module named 'jobs'" in record.error["what"]
    assert log(store) == "Traceback\nsee s3://lake/x\n"


@pytest.mark.parametrize(("status", "state"), [("STOPPED", "interrupted"), ("SUCCEEDED", "succeeded")])
def test_a_job_that_was_killed_keeps_what_it_wrote_and_gets_its_end(store: Store, status: str, state: str) -> None:
    replace(JobRecord.begin("t", "train", "train spec.yaml", "h:6379", AT, ID), runs=("t-01234567",)).write(store)
    salvage(store, replace(FAILED, status=status), "all of it\n", "http://h:8265")
    record = found(store)
    assert (record.state, record.runs, record.where) == (state, ("t-01234567",), "h:6379")
    assert (record.error is None) is (state == "succeeded")
    assert log(store) == "all of it\n"


def test_a_job_that_said_itself_how_it_ended_is_left_alone(store: Store) -> None:
    own = JobRecord.begin("t", "train", "train spec.yaml", "h:6379", AT, ID)
    replace(own, state="failed", ended=own.alive, exit_code=2).write(store)
    before = found(store)
    salvage(store, FAILED, "other\n", "http://h:8265")
    assert found(store) == before and not store.exists(before.driver_log)


def test_of_a_job_that_goes_with_its_cluster_what_was_seen_is_kept(store: Store) -> None:
    error = ResourceError("Nobody answers.", "Check the address.")
    salvage_lost(store, ID, "t", "train", "http://h:8265", "seen\n", error)
    record = found(store)
    assert (record.state, record.error) == ("lost", {"what": "Nobody answers.", "fix": "Check the address."})
    assert log(store) == "seen\n"
    salvage_lost(store, ID, "t", "train", "http://h:8265", "less\n", error)
    assert log(store) == "seen\n"


def test_why_a_job_ended_is_its_exit_code_and_the_last_line_it_printed() -> None:
    assert unexplained(FAILED).what.endswith(
        "without a result: Job entrypoint command failed with exit code 1; "
        "its last line: ModuleNotFoundError: No module named 'jobs'."
    )
    trace = "Traceback (most recent call last):\n  File 'a.py', line 1\nOSError: [Errno 28] No space left on device\n"
    unpacked = replace(FAILED, message=f"runtime_env setup failed.\n[Node 10.0.0.5] {trace}")
    assert unexplained(unpacked).what.endswith(
        "runtime_env setup failed. [Node 10.0.0.5] OSError: [Errno 28] No space left on device."
    )
    assert unexplained(replace(FAILED, message="")).what.endswith("without a result: it did not say why.")
