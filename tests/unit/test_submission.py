"""What travels to a cluster, and what comes back."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.jobs_api import Job, JobsApi
from cluster.submission import SPEC_FILE, Submission, find, package_of
from raymill.console import Console
from raymill.errors import Interrupted, SpecError
from raymill.spec import Spec


def spec(**changes: Any) -> Spec:
    named = {
        "name": "far",
        "task": {"type": "regression", "target": "y"},
        "data": {"source": "s3://lake/t.csv"},
        "store": "s3://ml/raymill",
        "tracking": "http://mlflow:5000",
    }
    return Spec.model_validate(named | changes)


def unpacked(package: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_resolved_spec_travels_and_the_same_one_is_the_same_package() -> None:
    assert list(unpacked(package_of(spec()))) == [SPEC_FILE]
    assert Spec.model_validate(json.loads(unpacked(package_of(spec()))[SPEC_FILE])) == spec()
    assert package_of(spec()) == package_of(spec())


def test_the_module_that_the_spec_names_travels_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "travelling_nets"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text("def build(layout, task): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = unpacked(package_of(spec(model={"import": "travelling_nets.net.build"})))
    assert sorted(found) == [SPEC_FILE, "travelling_nets/__init__.py", "travelling_nets/net.py"]
    assert list(unpacked(package_of(spec(model={"import": "torch.nn.Linear"})))) == [SPEC_FILE]
    with pytest.raises(SpecError, match="no module 'absent_nets'"):
        package_of(spec(model={"import": "absent_nets.build"}))


class Talking(JobsApi):
    """A cluster whose one job prints a part more each time that it is looked at, then ends."""

    rays = "[*** LOG ERROR #0001 ***] [2026-11-26 20:16:43] [ray_log_sink] Failed flush to file /tmp/ray/x.log\n"
    parts = ("one\ntw", f"one\ntwo\n{rays}", f'one\ntwo\n{rays}{{"job": "run"}}\nlast')
    looks = 0

    def job(self, id: str) -> Job:
        self.__class__.looks += 1
        status = "RUNNING" if self.looks < len(self.parts) else "SUCCEEDED"
        return Job(id=id, status=status, message="", exit_code=0, started_s=None, ended_s=None, metadata={})

    def log(self, id: str) -> str:
        return self.parts[min(self.looks, len(self.parts)) - 1]


def test_lines_are_shown_once_and_whole_and_the_report_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.submission._POLL_S", 0)
    shown = io.StringIO()
    assert Submission(api=Talking("http://h"), id="i").follow(Console(shown)) == '{"job": "run"}'
    assert shown.getvalue() == "one\ntwo\nlast\n"


def test_what_a_job_has_said_is_without_rays_own_lines() -> None:
    rays = "2026-11-26 20:16:43,001\tINFO job_manager.py:568 -- Runtime env is set up.\n"

    class Done(Talking):
        parts = (f"{rays}one\n{Talking.rays}two",)

    assert Submission(api=Done("http://h"), id="i").said() == "one\ntwo"


def test_a_job_of_another_name_or_of_no_raymill_is_none_of_a_specs() -> None:
    class Knowing(JobsApi):
        def job(self, id: str) -> Job:
            about = {"ours-1": {"raymill": "ours"}, "theirs-1": {"raymill": "theirs"}}.get(id, {})
            return replace(Talking("").job(id), metadata=about)

    found = [find(Knowing("http://h"), "ours", id) for id in ("ours-1", "theirs-1", "raysubmit_1")]
    assert [job and job.id for job in found] == ["ours-1", None, None]


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: JobsApi, id: str) -> Job:
        raise KeyboardInterrupt

    monkeypatch.setattr(JobsApi, "job", interrupted)
    with pytest.raises(Interrupted, match="The job i goes on at http://h") as caught:
        Submission(api=JobsApi("http://h"), id="i").follow(Console(io.StringIO()))
    assert "raymill logs -f" in caught.value.fix


def test_what_is_followed_or_ended_is_the_newest_that_runs() -> None:
    class Known(JobsApi):
        def jobs(self) -> list[Job]:
            return [_job("a", "RUNNING"), _job("b", "FAILED")]

    found, acted = find(Known("http://h"), "t", None), find(Known("http://h"), "t", None, to_act=True)
    assert found is not None and found.id == "b"
    assert acted is not None and acted.id == "a"


def _job(id: str, status: str) -> Job:
    metadata = {"raymill": "t"}
    return Job(id=id, status=status, message="", exit_code=None, started_s=0, ended_s=None, metadata=metadata)
