"""The Jobs API as a client meets it: answers, refusals, a head node that is still starting, and silence."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cluster.jobs_api import JobsApi
from raymill.errors import MachineError, ResourceError

JOB = {"submission_id": "a-run-1", "status": "FAILED", "message": "m", "driver_exit_code": 2, "start_time": 2000}


@dataclass
class Head:
    """A head node: what it answers by method and path, the last answer again and again, and what it was asked."""

    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, bytes, str | None]] = field(default_factory=list)
    address: str = ""

    def answer(self, request: str, body: bytes, token: str | None) -> tuple[int, Any]:
        self.asked.append((request, body, token))
        planned = self.answers.get(request, [(404, "does not exist")])
        return planned.pop(0) if len(planned) > 1 else planned[0]


@pytest.fixture
def head() -> Iterator[Head]:
    head = Head()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            code, value = head.answer(f"{self.command} {self.path}", body, self.headers.get("authorization"))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(value.encode() if isinstance(value, str) else json.dumps(value).encode())

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    head.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield head
    server.shutdown()
    server.server_close()


def test_a_job_is_what_the_cluster_says_and_none_is_none(head: Head) -> None:
    head.answers["GET /api/jobs/a-run-1"] = [(200, JOB)]
    job = JobsApi(head.address).job("a-run-1")
    assert job is not None and job.has_ended
    assert (job.id, job.status, job.exit_code, job.started_s, job.ended_s) == ("a-run-1", "FAILED", 2, 2.0, None)
    assert JobsApi(head.address).job("nobody") is None
    JobsApi(head.address).stop("nobody")


def test_jobs_are_those_that_were_submitted_the_oldest_first(head: Head) -> None:
    later = JOB | {"submission_id": "b", "start_time": 3000}
    head.answers["GET /api/jobs/"] = [(200, [later, {"job_id": "01", "status": "RUNNING"}, JOB])]
    assert [job.id for job in JobsApi(head.address).jobs()] == ["a-run-1", "b"]


def test_a_package_is_sent_once(head: Head) -> None:
    api = JobsApi(head.address)
    name = f"_ray_pkg_{hashlib.sha256(b'zip').hexdigest()[:32]}.zip"
    head.answers[f"PUT /api/packages/gcs/{name}"] = [(200, "")]
    assert (uri := api.upload(b"zip")) == f"gcs://{name}"
    assert [request for request, _, _ in head.asked] == [
        f"GET /api/packages/gcs/{name}",
        f"PUT /api/packages/gcs/{name}",
    ]
    head.answers[f"GET /api/packages/gcs/{name}"] = [(200, "")]
    assert api.upload(b"zip") == uri
    assert len(head.asked) == 3


def test_a_cluster_that_is_still_starting_is_given_time(head: Head) -> None:
    head.answers["POST /api/jobs/"] = [(500, "No available agent to submit job, please try again later."), (200, {})]
    JobsApi(head.address).submit("python x", id="i", package="gcs://p.zip", metadata={}, env={"A": "b"})
    assert [request for request, _, _ in head.asked].count("POST /api/jobs/") == 2
    sent = json.loads(head.asked[-1][1])
    assert sent["runtime_env"] == {"working_dir": "gcs://p.zip", "env_vars": {"A": "b"}}


def test_a_cluster_that_fails_is_not_asked_again(head: Head) -> None:
    head.answers["POST /api/jobs/"] = [(500, "Traceback\n  disk full")]
    with pytest.raises(MachineError, match="failed: Traceback disk full"):
        JobsApi(head.address).submit("python x", id="i", package="gcs://p.zip", metadata={}, env={})
    assert [request for request, _, _ in head.asked].count("POST /api/jobs/") == 1


def test_a_job_that_was_begun_by_a_request_that_failed_is_there(head: Head) -> None:
    head.answers["POST /api/jobs/"] = [(500, "OSError: No space left on device")]
    head.answers["GET /api/jobs/a-run-1"] = [(200, JOB)]
    JobsApi(head.address).submit("python x", id="a-run-1", package="gcs://p.zip", metadata={}, env={})
    assert [request for request, _, _ in head.asked].count("POST /api/jobs/") == 1


def test_a_job_that_was_submitted_although_its_answer_was_lost_is_there(head: Head) -> None:
    twice = "ValueError: Job with submission_id i already exists. Please use a different submission_id."
    head.answers["POST /api/jobs/"] = [(500, f"Traceback\n{twice}")]
    JobsApi(head.address).submit("python x", id="i", package="gcs://p.zip", metadata={}, env={})
    with pytest.raises(MachineError, match="already exists"):
        JobsApi(head.address).submit("python x", id="j", package="gcs://p.zip", metadata={}, env={})


def test_what_is_no_cluster_is_said(head: Head) -> None:
    head.answers["GET /api/v0/cluster_metadata"] = [(200, "<html>Please log in")]
    with pytest.raises(ResourceError, match="is no Ray cluster: it says b'<html>Please log in'"):
        JobsApi(head.address).versions()
    for path in ("jobs/", "jobs/a", "jobs/a/logs", "v0/cluster_metadata"):
        head.answers[f"GET /api/{path}"] = [(200, {"detail": "log in"})]
    api = JobsApi(head.address)
    for ask in (api.versions, api.jobs, lambda: api.job("a"), lambda: api.log("a")):
        with pytest.raises(ResourceError, match=r'is no Ray cluster: it says .*"log in"'):
            ask()
    with pytest.raises(ResourceError, match="Nobody answers as a Ray cluster at http://head:82x5: nonnumeric port"):
        JobsApi("http://head:82x5").versions()


def test_the_token_is_shown_and_a_refused_one_is_said_without_it(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret-token")
    head.answers["GET /api/v0/cluster_metadata"] = [(401, "no")]
    with pytest.raises(ResourceError, match=r"doesn't take this token \(401\)") as caught:
        JobsApi(head.address).versions()
    assert head.asked[0][2] == "Bearer secret-token"
    assert "secret" not in str(caught.value)


def test_a_token_that_no_header_can_hold_is_refused_without_it(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret\ntoken")
    with pytest.raises(ResourceError, match="token holds more than") as caught:
        JobsApi(head.address).versions()
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret-token\n")
    assert JobsApi(head.address).job("i") is None
    assert head.asked[-1][2] == "Bearer secret-token"


def test_a_file_without_a_token_that_can_be_read_is_named(
    head: Head, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    with pytest.raises(ResourceError, match=r"token can't be read from .*token\.") as caught:
        JobsApi(head.address).versions()
    assert "RAY_AUTH_TOKEN" in caught.value.fix and not head.asked


def test_the_capacity_is_what_the_nodes_have_and_what_the_autoscalers_log_tells(head: Head) -> None:
    def node(id: str, is_head: bool, **resources: float) -> dict[str, Any]:
        return {"node_id": id, "is_head_node": is_head, "resources_total": resources}

    alive = "/api/v0/nodes?limit=10000&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
    nodes = [node("a", False, CPU=2.0), node("b", True, CPU=1.0, GPU=1.0)]
    head.answers[f"GET {alive}"] = [(200, {"data": {"result": {"result": nodes}}})]
    unknown = JobsApi(head.address).capacity()
    assert (unknown.nodes, unknown.types) == ([{"CPU": 2.0}, {"CPU": 1.0, "GPU": 1.0}], None)
    log = "GET /api/v0/logs/file?node_id=b&filename=monitor.log&lines=-1"
    told = "StandardAutoscaler: {'max_workers': 3, 'available_node_types': {'large': {'resources': {'CPU': 64}}}}\n"
    head.answers[log] = [(200, told + 100_000 * ".")]
    (large,) = JobsApi(head.address).capacity().types or ()
    assert (large.name, large.resources, large.most) == ("large", {"CPU": 64.0}, 3)


def test_the_versions_are_those_that_the_head_tells(head: Head) -> None:
    told = {"data": {"rayVersion": "2.60.0", "pythonVersion": "3.11.7"}}
    head.answers["GET /api/v0/cluster_metadata"] = [(200, told)]
    assert JobsApi(head.address).versions() == ("2.60.0", "3.11.7")


def test_nobody_there_is_said_with_the_address() -> None:
    nobody = JobsApi("http://127.0.0.1:9", patience_s=0.2)
    assert not nobody.answers()
    with pytest.raises(ResourceError, match=r"Nobody answers as a Ray cluster at http://127\.0\.0\.1:9: "):
        nobody.versions()
    with pytest.raises(ResourceError, match="Nobody answers"):
        JobsApi("nonsense").versions()


def test_what_answers_in_another_protocol_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as shell:

        def greet() -> None:
            with shell.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(ResourceError, match="SSH-2") as caught:
            JobsApi(f"http://127.0.0.1:{shell.getsockname()[1]}").versions()
    assert "\n" not in caught.value.what
