"""A real S3 server as a process that can be stopped, killed and started again with the same data."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_ports

_READY_WITHIN_S = 60.0
_ENDS_WITHIN_S = 10.0


@dataclass(frozen=True)
class User:
    """A name, which is its key too, and what it may do."""

    name: str
    may: tuple[str, ...]

    @property
    def secret(self) -> str:
        return f"{self.name}-secret"

    def environment(self, endpoint: str) -> dict[str, str]:
        """The variables by which this user reaches an endpoint."""
        return {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": self.name,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
        }


# Whoever is no admin finds a bucket that isn't there missing: an admin's write would make it.
ADMIN = User("admin", ("Admin", "Read", "Write", "List"))
WRITER = User("writer", ("Read", "Write", "List"))
READER = User("reader", ("Read", "List"))


class Server:
    """SeaweedFS's master, volume, filer and S3 gateway in one process, all on free ports of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = free_ports(9)
        self.endpoint = f"http://127.0.0.1:{ports[0]}"
        self._process: subprocess.Popen[bytes] | None = None
        # Its sockets go where TMPDIR says, whose path must be short, but for two, of which one is always here.
        self._elsewhere = Path(f"/tmp/seaweedfs-s3-grpc-{ports[1]}.sock")
        self._sockets = tempfile.mkdtemp(prefix="s3-")
        socket = f"-s3.localSocket={self._sockets}/s3.sock"
        self._command = [_weed(), "server", *_options(folder, ports), socket]

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with (self._folder / "log").open("ab") as log:
            environment = os.environ | {"TMPDIR": self._sockets}
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment)
        until_s = time.monotonic() + _READY_WITHIN_S
        while not _answers(self.endpoint):
            assert self._process.poll() is None, (self._folder / "log").read_text()[-3000:]
            assert time.monotonic() < until_s, f"no answer in {_READY_WITHIN_S:.0f} s"
            time.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def end(self) -> None:
        """Ends it for good, politely and then not, and removes its sockets."""
        if self._process is not None and self.is_running:
            self.signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._elsewhere.unlink(missing_ok=True)


def _options(folder: Path, ports: list[int]) -> list[str]:
    users = [
        {"name": u.name, "credentials": [{"accessKey": u.name, "secretKey": u.secret}], "actions": list(u.may)}
        for u in (ADMIN, WRITER, READER)
    ]
    (folder / "users.json").write_text(json.dumps({"identities": users}))
    (folder / "data").mkdir()
    named = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
    named += ("filer.port", "filer.port.grpc", "debug.port")
    return [
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        f"-s3.config={folder / 'users.json'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=40",
        # By default ten seconds to end, and ten to start again on the same data.
        "-volume.preStopSeconds=1",
        "-master.electionTimeout=1s",
        *(f"-{name}={port}" for name, port in zip(named, ports, strict=True)),
    ]


def _weed() -> str:
    found = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found is not None, "pip install -e '.[test]' brings it"
    return found


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/healthz", timeout=1):
            return True
    except OSError:
        return False
