"""The servers that `serving.py` sets side by side, each in processes of its own while its block runs.

raymill   the session and the endpoint of `raymill deploy`, behind its HAProxy (`raymill_app.py`)
mlflow    `mlflow models serve` of the scikit-learn pipeline, one worker, and rows as `inputs`, which it reads
          fastest: a DataFrame's names would more than double its time for one row
ray       Ray Serve's FastAPI application (`fastapi_app.py`), proxy and settings as Ray starts them
echo      an application that sends bodies back, beside an endpoint in one Serve, by its settings (`echo_app.py`)
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from served.network import ServedNetwork

_STARTS_WITHIN_S, _ENDS_WITHIN_S, _POLL_S = 180.0, 60.0, 0.2
_TOLERANCE = 1e-4
ARROW = "application/vnd.apache.arrow.stream"
_HERE = Path(__file__).parent
Rows = list[dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a server is asked for the probabilities of rows, and how it answers with them."""

    path: str
    body: Callable[[Rows], Any]
    scores: Callable[[Any], list[list[float]]]
    takes_arrow: bool = False


def arrow_body(rows: Rows) -> bytes:
    """Rows as an Arrow IPC stream."""
    table = pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _numbers(rows: Rows) -> list[list[float]]:
    return [list(row.values()) for row in rows]


KINDS = {
    "raymill": Kind(
        path="/v1/breast-cancer/predict",
        body=lambda rows: {"row": rows[0]} if len(rows) == 1 else {"rows": rows},
        scores=lambda answer: [list(each["probabilities"].values()) for each in answer["predictions"]],
        takes_arrow=True,
    ),
    "mlflow": Kind(
        path="/invocations",
        body=lambda rows: {"inputs": _numbers(rows)},
        scores=lambda answer: answer["predictions"],
    ),
    "ray": Kind(path="/predict", body=lambda rows: {"rows": _numbers(rows)}, scores=lambda answer: answer),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One that runs; `url` takes bodies of rows by POST, `echo_url` any where it `echoes`; `token` is one it admits."""

    kind: Kind
    origin: str
    echoes: bool
    token: str

    @property
    def url(self) -> str:
        return self.origin + self.kind.path

    @property
    def echo_url(self) -> str:
        return self.origin + "/echo"

    def body(self, rows: Rows) -> bytes:
        return json.dumps(self.kind.body(rows)).encode()

    def check(self, network: ServedNetwork) -> None:
        """Raises RuntimeError where answers to one row and to all of them aren't the network's own."""
        for count in (1, len(network.rows)):
            answer = self._ask(self.url, self.body(network.rows[:count]))
            off = float(np.abs(np.array(self.kind.scores(answer)) - network.scores[:count]).max())
            if off > _TOLERANCE:
                raise RuntimeError(f"{self.url} answers are off by {off:g}")

    def _ask(self, url: str, body: bytes) -> Any:
        shown = {"authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(url, body, {"content-type": "application/json"} | shown)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def answers(self, network: ServedNetwork) -> bool:
        """Whether it is up, and its echo application too."""
        body = self.body(network.rows[:1])
        try:
            self._ask(self.url, body)
            if self.echoes:
                self._ask(self.echo_url, body)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True


@contextmanager
def running(name: str, network: ServedNetwork, *, echo: bool = False, token: str = "") -> Iterator[Server]:
    """A server that answers, and answers right, until the block ends. Raises RuntimeError where it doesn't."""
    port = _free_port()
    server = Server(kind=KINDS[name], origin=f"http://127.0.0.1:{port}", echoes=echo, token=token)
    with (network.folder / f"{name}.log").open("a+") as log:
        process = subprocess.Popen(
            _command(name, network, port, echo), stdout=log, stderr=log, env=_environment(), start_new_session=True
        )
        try:
            _wait(process, server, network, Path(log.name))
            server.check(network)
            yield server
        finally:
            _end(process)


def _command(name: str, network: ServedNetwork, port: int, echo: bool) -> list[str]:
    if name == "mlflow":
        options = ["--env-manager", "local", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
        mlflow = str(Path(sys.executable).with_name("mlflow"))
        return [mlflow, "models", "serve", "--model-uri", str(network.pipeline), *options]
    if name == "ray":
        return [sys.executable, str(_HERE / "fastapi_app.py"), str(network.bundle), str(port)]
    endpoint = [str(network.spec), str(network.bundle), network.digest, str(port)]
    return [sys.executable, str(_HERE / "raymill_app.py"), *endpoint, *(["--echo"] if echo else [])]


def _environment() -> dict[str, str]:
    """The caller's, without what would change Ray's defaults or Python's threads."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "OMP_"))}


def _wait(process: subprocess.Popen[bytes], server: Server, network: ServedNetwork, log: Path) -> None:
    deadline_s = time.monotonic() + _STARTS_WITHIN_S
    while not server.answers(network):
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"{server.url} did not start: {log.read_text()[-2000:]}")
        time.sleep(_POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks it to end, and then ends what is left of its session."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=_ENDS_WITHIN_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
