"""What becomes of a command whose cluster goes away while its job is followed."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.jobs_api import Job, JobsApi
from cluster.remote import EndedElsewhere, _ending, watch
from cluster.submission import Submission
from raymill.console import Console
from raymill.errors import Interrupted, MachineError, ResourceError
from raymill.job_record import JobRecord, read, utc
from raymill.store import Store
from tests.recipes import spec_of

ID = "fake-train-20261122-120000-abcd"


class Gone(JobsApi):
    """A cluster whose head is no more."""

    def job(self, id: str) -> Job | None:
        raise ResourceError("Nobody answers as a Ray cluster at http://h.", "Check the address.")


def test_a_cluster_that_goes_away_is_the_machines_fault_and_what_was_seen_is_kept(tmp_path: Path) -> None:
    spec = spec_of().model_copy(update={"store": str(tmp_path)})
    with pytest.raises(MachineError, match="Nobody answers") as caught:
        watch(Submission(api=Gone("http://h"), id=ID), spec, "train", Console(io.StringIO()))
    assert caught.value.fix == "Check the address. The same command continues."
    record = read(Store(str(tmp_path)), ID, datetime.now(UTC))
    assert record is not None and record.state == "lost"


class Mute(JobsApi):
    """A cluster that knows how a job ended, but whose disk was too full for its log."""

    def job(self, id: str) -> Job:
        metadata = {"raymill": "fake", "command": "train"}
        return Job(id=id, status="FAILED", message="", exit_code=3, started_s=0, ended_s=1, metadata=metadata)

    def log(self, id: str) -> str:
        return ""


def test_the_error_of_a_job_whose_log_was_cut_short_is_read_from_the_store(tmp_path: Path) -> None:
    spec, store, now = spec_of().model_copy(update={"store": str(tmp_path)}), Store(str(tmp_path)), datetime.now(UTC)
    record = JobRecord.begin("fake", "train", "train fake.yaml", "10.0.0.5:6379", now, ID)
    error = {"what": "A worker process died.", "fix": "See the node."}
    replace(record, state="failed", ended=utc(now), exit_code=3, error=error).write(store)
    shown = io.StringIO()
    with pytest.raises(EndedElsewhere) as caught:
        watch(Submission(api=Mute("http://h"), id=ID), spec, "train", Console(shown))
    assert caught.value.report == {"error": error} and caught.value.code == 3
    assert shown.getvalue() == "error: A worker process died.\nSee the node.\n"


class Torn(Mute):
    """A cluster on whose full disk the end of a report had no room."""

    def job(self, id: str) -> Job:
        return replace(Mute("").job(id), status="SUCCEEDED", exit_code=0)

    def log(self, id: str) -> str:
        return '{"job": "train", "status": "succ'


def test_a_report_that_was_cut_short_is_read_from_the_store(tmp_path: Path) -> None:
    spec, store, now = spec_of().model_copy(update={"store": str(tmp_path)}), Store(str(tmp_path)), datetime.now(UTC)
    record = JobRecord.begin("fake", "train", "train fake.yaml", "10.0.0.5:6379", now, ID)
    replace(record, state="succeeded", ended=utc(now), exit_code=0, report={"run": "fake-0"}).write(store)
    found = watch(Submission(api=Torn("http://h"), id=ID), spec, "train", Console(io.StringIO()))
    assert found == {"run": "fake-0"}


def test_a_cancelled_job_that_has_said_so_is_no_second_error() -> None:
    report = {"error": {"what": "Stopped at once.", "fix": "The same command continues."}}
    job = replace(Mute("http://h").job(ID), status="STOPPED", exit_code=None)
    with pytest.raises(EndedElsewhere) as caught:
        _ending(job, json.dumps(report), Console(io.StringIO()))
    assert (caught.value.report, caught.value.code) == (report, 130)
    for silent in ("", json.dumps({"status": "succeeded"})):
        with pytest.raises(Interrupted, match="was cancelled"):
            _ending(job, silent, Console(io.StringIO()))
