"""Load on an HTTP server: as fast as it answers by wrk, or at a fixed rate by a client of our own.

wrk sends the next request when the last is answered. That tells a server's throughput, but not its slow answers under
a rate: while one is late, none is asked for. The fixed rate's requests are timed from when they were due.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import numpy as np

JSON = "application/json"
_SPIN_S = 0.001
_SCRIPT = """
local requests, at = {}, 0
function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "%(form)s"
  wrk.headers["Accept"] = "%(form)s"
  for index = 1, %(bodies)d do
    local file = io.open("%(folder)s/" .. index, "rb")
    requests[index] = wrk.format(nil, nil, nil, file:read("*a"))
    file:close()
  end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
function done(summary, latency)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('{"requests": %%d, "failed": %%d, "us": %%d, "p50_us": %%d}\\n',
    summary.requests, failed, summary.duration, latency:percentile(50)))
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a server answered in one run of wrk."""

    requests_per_s: float
    p50_s: float


def require_wrk() -> None:
    """Exits where it isn't installed."""
    if shutil.which("wrk") is None:
        sys.exit("wrk, which makes the load, is not installed.\nInstall it: apt-get install wrk")


def wrk(url: str, bodies: Sequence[bytes], *, connections: int, seconds: int, form: str = JSON) -> Load:
    """POSTs bodies in turn, each connection its next when the last is answered. Raises RuntimeError where one fails."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        for index, body in enumerate(bodies, start=1):
            (Path(folder) / str(index)).write_bytes(body)
        script.write_text(_SCRIPT % {"form": form, "bodies": len(bodies), "folder": folder})
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if found["failed"] or not found["requests"]:
        raise RuntimeError(f"{found['failed']} of {found['requests']} requests to {url} failed: {done.stdout}")
    return Load(requests_per_s=found["requests"] / found["us"] * 1e6, p50_s=found["p50_us"] / 1e6)


def at_rate(url: str, bodies: Sequence[bytes], *, per_s: float, seconds: float) -> np.ndarray:
    """The seconds from when each request was due to its whole answer, on one connection that is kept.

    It spins for the last millisecond before a request, so as not to measure its own waking. A connection that a proxy
    has closed, as one does when it is given new routes, is opened again within the request's time. Raises RuntimeError
    for another status than 200.
    """
    parts = urlsplit(url)
    requests = [_request(parts.netloc, parts.path, body) for body in bodies]
    taken_s = np.empty(int(per_s * seconds))
    connection = _connected(parts)
    start_s = time.perf_counter() + 0.1
    for index in range(len(taken_s)):
        due_s = start_s + index / per_s
        _wait_until(due_s)
        if not _asked(connection, requests[index % len(requests)]):
            connection = _connected(parts)
            if not _asked(connection, requests[index % len(requests)]):
                raise RuntimeError("The server closed a new connection.")
        taken_s[index] = time.perf_counter() - due_s
    connection.close()
    return taken_s


def _connected(parts: SplitResult) -> socket.socket:
    connection = socket.create_connection((parts.hostname, parts.port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _asked(connection: socket.socket, request: bytes) -> bool:
    """Whether it was answered, rather than the connection found closed."""
    try:
        connection.sendall(request)
        _read_answer(connection)
    except ConnectionError:
        connection.close()
        return False
    return True


def _request(host: str, path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def _wait_until(due_s: float) -> None:
    time.sleep(max(0.0, due_s - time.perf_counter() - _SPIN_S))
    while time.perf_counter() < due_s:
        pass


def _read_answer(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.lower().split(b"\r\n")
    if status.split()[1] != b"200":
        raise RuntimeError(f"The answer was {status.decode()}: {body.decode()}")
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    left = length - len(body)
    while left > 0:
        left -= len(_received(connection))


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise ConnectionResetError("The server closed the connection.")
    return data
