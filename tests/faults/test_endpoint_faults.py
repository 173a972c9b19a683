"""What is killed behind an endpoint under load costs at most the requests that the dead process was answering."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.steady_load import SteadyLoad
from tests.ports import free_port

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.faults
_ROW = json.dumps({"row": {"a": 1.5, "b": None, "color": "red"}}).encode()
_BACK_WITHIN_S = 120.0
# Half a body takes its place, where it has one, for the 30 s in which the other half may come.
_BEFORE_THEY_ARE_GIVEN_UP_S = 15
_MORE_THAN_PLACES = 600
# Requests before a kill, and after what was killed is back.
_ENOUGH = 300


class Served:
    """A process that serves version 1 by two replicas, and another one when its number comes in."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_SERVE")}
        self.child = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(folder), str(self.port)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=own | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        self._wait_for_a_version()
        _wait(lambda: len(self.processes("ray::ServeReplica:demo")) == 2)

    def deploy(self, version: int) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(f"{version}\n")
        self.child.stdin.flush()
        self._wait_for_a_version()

    def _wait_for_a_version(self) -> None:
        assert self.child.stderr is not None
        said = self.child.stderr.readline()
        assert "is served at" in said, said + self.child.stderr.read()

    def processes(self, name: str) -> list[psutil.Process]:
        """Those whose name begins so, of the session's, the youngest first."""
        children = psutil.Process(self.child.pid).children(recursive=True)
        found = [each for each in children if _name(each).startswith(name)]
        return sorted(found, key=psutil.Process.create_time, reverse=True)

    def load(self) -> SteadyLoad:
        return SteadyLoad("127.0.0.1", self.port, "/v1/demo/predict", _ROW)

    def stop(self) -> None:
        os.killpg(self.child.pid, signal.SIGINT)
        self.child.wait(timeout=60)


def _name(process: psutil.Process) -> str:
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else process.name()
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("endpoint"))
    try:
        yield served
    finally:
        served.stop()


def _killed(served: Served, load: SteadyLoad, name: str) -> float:
    """Kills the youngest process of a name under load, and returns when it was surely gone."""
    _wait(lambda: load.counts["answered"] >= _ENOUGH)
    _wait(lambda: len(served.processes("haproxy")) == 1)  # another one takes its place when replicas come or go
    assert load.failed == []
    victim = served.processes(name)[0]
    victim.kill()
    victim.wait(timeout=10)
    return time.monotonic()


def _wait(true: Callable[[], Any], within_s: float = _BACK_WITHIN_S) -> None:
    deadline_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.05)


def _say(what: str, load: SteadyLoad, since_s: float) -> None:
    """For the table in docs/faults.md, by `pytest -o log_cli=true -o log_cli_level=INFO`."""
    lasted_s = max((each.ended_s for each in load.failed), default=since_s) - since_s
    logger.info("%s: %s, the last %.1f s after it was killed", what, dict(load.counts), max(lasted_s, 0.0))


def test_a_killed_replica_costs_at_most_what_it_was_answering(served: Served) -> None:
    with served.load() as load:
        gone_s = _killed(served, load, "ray::ServeReplica:demo")
        _wait(lambda: load.answered_since(gone_s) >= _ENOUGH)
        _wait(lambda: len(served.processes("ray::ServeReplica:demo")) == 2)
    _say("replica", load, gone_s)
    assert load.counts.keys() <= {"answered", "cut"}
    assert len(load.failed) <= load.clients and all(each.began_s < gone_s for each in load.failed)


@pytest.mark.parametrize("name", ["haproxy", "ray::KeepingManager"])
def test_a_killed_front_refuses_connections_until_it_is_back(served: Served, name: str) -> None:
    with served.load() as load:
        gone_s = _killed(served, load, name)
        _wait(lambda: load.answered_since(gone_s) >= _ENOUGH)
    _say(name, load, gone_s)
    assert load.counts.keys() <= {"answered", "cut", "refused"}
    assert load.counts["cut"] <= load.clients
    _wait(lambda: len(served.processes("ray::KeepingManager")) == len(served.processes("haproxy")) == 1)


def test_clients_that_send_half_a_body_take_no_place(served: Served) -> None:
    half = b"POST /v1/demo/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 400\r\n\r\n{"
    whole = urllib.request.Request(f"http://127.0.0.1:{served.port}/v1/demo/predict", data=_ROW, method="POST")
    whole.add_header("Content-Type", "application/json")
    with contextlib.ExitStack() as clients:
        for _ in range(_MORE_THAN_PLACES):
            clients.enter_context(socket.create_connection(("127.0.0.1", served.port))).sendall(half)
        for _ in range(4):
            with urllib.request.urlopen(whole, timeout=_BEFORE_THEY_ARE_GIVEN_UP_S) as answer:
                assert answer.status == 200


def test_a_killed_controller_fails_no_request_and_the_next_version_comes(served: Served) -> None:
    with served.load() as load:
        gone_s = _killed(served, load, "ray::ServeController")
        served.deploy(2)
        deployed_s = time.monotonic()
        _wait(lambda: load.answered_since(deployed_s) >= _ENOUGH)
    _say("controller", load, gone_s)
    assert load.failed == []
    assert load.versions_since(deployed_s) == {"2"}


_SERVE = """
import sys
from pathlib import Path
from cluster.endpoint import deploy_version
from cluster.session import open_session
from raymill.console import Console
from raymill.spec import Spec
from tests.bundles import write_bundle
folder, port = sys.argv[1:]
spec = Spec.model_validate({
    "name": "demo",
    "task": {"type": "classification", "target": "y"},
    "data": {"source": "nowhere.csv"},
    "store": str(Path(folder) / "store"),
    "serve": {"port": int(port), "cpus": 0.5, "replicas": {"min": 2, "max": 2}},
})
with open_session(Console(), needs_serve=True):
    version = "1"
    while version:
        uri = str(Path(folder) / f"bundle-{version}")
        digest = write_bundle(uri, int(version))
        deploy_version(spec, version=int(version), bundle_uri=uri, digest=digest, console=Console())
        version = sys.stdin.readline().strip()
"""
