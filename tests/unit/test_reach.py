"""Whether the store can be written and the tracker answers, from where this process is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cluster.reach import one_error, require_answer, require_reached, require_writable
from raymill.errors import ResourceError, StoreError, TrackerError
from raymill.store import Store
from tests.ports import free_port


@pytest.fixture
def answering() -> Iterator[tuple[str, list[int]]]:
    """The address of a server, and the codes that it answers with, the last one again and again."""
    codes = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(codes.pop(0) if len(codes) > 1 else codes[0])
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", codes
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.reach._PAUSE_S", 0)


def test_a_store_that_can_be_written_and_a_tracker_that_answers_are_reached(
    tmp_path: Path, answering: tuple[str, list[int]]
) -> None:
    require_reached(Store(str(tmp_path)), answering[0])
    require_reached(Store(str(tmp_path)), None)
    require_reached(Store(str(tmp_path)), f"sqlite:///{tmp_path}/not/there/mlflow.db")


def test_a_tracker_may_stumble_once_and_may_know_no_health(answering: tuple[str, list[int]]) -> None:
    address, codes = answering
    codes[:] = [503, 200]
    require_answer(address)
    codes[:] = [404]
    require_answer(address)
    codes[:] = [502]
    with pytest.raises(TrackerError, match="doesn't answer: it answers 502"):
        require_answer(address)
    with pytest.raises(TrackerError, match="doesn't answer: nonnumeric port: '50x0'"):
        require_answer("http://mlflow:50x0")


def test_both_that_are_away_are_said_at_once_and_without_a_password(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tracking = f"http://user:secret@127.0.0.1:{free_port()}"
    with pytest.raises(StoreError) as caught:
        require_reached(Store(str(tmp_path / "file" / "store")), tracking)
    assert "Could not write" in caught.value.what and "MLflow at http://127.0.0.1:" in caught.value.what
    assert "secret" not in str(caught.value)


def test_a_problem_on_a_cluster_says_from_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(TrackerError, match=r"^From .+, where the job runs on the cluster: MLflow at "):
        require_reached(Store(str(tmp_path)), f"http://127.0.0.1:{free_port()}")


def test_a_place_to_write_to_is_tried_where_its_folder_would_be_and_left_as_it_was(tmp_path: Path) -> None:
    require_writable(str(tmp_path / "not" / "there" / "yet"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=rf"^Could not write {tmp_path}/file/\.check-"):
        require_writable(str(tmp_path / "file" / "below"))


def test_two_problems_with_one_remedy_name_it_once() -> None:
    both = one_error([StoreError("The store is away.", "Wait."), TrackerError("MLflow is away.", "Wait.")], "There: ")
    assert (type(both), both.what, both.fix) == (StoreError, "There: The store is away. MLflow is away.", "Wait.")


def test_a_job_of_another_raymill_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYMILL_VERSION", "0.0.1")
    with pytest.raises(ResourceError, match=r"handed over by raymill 0\.0\.1, and the cluster's image has raymill"):
        require_reached(Store(str(tmp_path)), None)
