"""What becomes of a command whose cluster goes away while its job is followed."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.jobs_api import Job, JobsApi
from cluster.remote import watch
from cluster.submission import Submission
from raymill.console import Console
from raymill.errors import MachineError, ResourceError
from raymill.job_record import read
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
