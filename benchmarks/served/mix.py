"""A mix of requests as an endpoint meets them: rows, batches, other protocols, labels, mistakes, clients that leave.

Each client asks as fast as it is answered, on a connection that it keeps until it leaves in the middle of a request.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from served.servers import ARROW, arrow_body

Rows = list[dict[str, float]]
_SOME, _MANY = 200, 2_000
# Which part of all requests is of which kind.
_SHARES = {
    "one row": 50,
    "some rows": 8,
    "many rows": 1,
    "v2": 10,
    "arrow": 8,
    "labels": 8,
    "mistake": 10,
    "left while sending": 3,
    "left before the answer": 2,
}
_MISTAKES = (
    b"{",
    b"[" * 2_000,
    b'{"row": {"no such": 1}}',
    b'{"rows": [' + b'{"x": "y"},' * 500 + b"{}]}",
    b"\xff" * 99,
)


class Mix:
    """The requests for an endpoint of a name, whose rows are numbers."""

    def __init__(self, host: str, name: str, token: str, rows: Rows, label: str) -> None:
        self._host, self._token, self._rows, self._label = host, token, rows, label
        self._predict, self._feedback = f"/v1/{name}/predict", f"/v1/{name}/feedback"
        self._infer = f"/v2/models/{name}/infer"
        self._makes: dict[str, Callable[[random.Random], bytes]] = {
            "one row": lambda rng: self._json(self._predict, {"row": rng.choice(rows)}),
            "some rows": lambda rng: self._json(self._predict, {"rows": self._some(rng, _SOME)}),
            "many rows": lambda rng: self._json(self._predict, {"rows": self._some(rng, _MANY)}),
            "v2": self._v2,
            "arrow": self._arrow,
            "labels": self._labels,
            "mistake": lambda rng: self._request(self._predict, rng.choice(_MISTAKES)),
        }

    def make(self, rng: random.Random) -> tuple[str, bytes]:
        """A kind, and what is sent: cut where the client leaves while it sends."""
        kind = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
        if not kind.startswith("left"):
            return kind, self._makes[kind](rng)
        whole = self._makes[rng.choice(("one row", "some rows", "many rows"))](rng)
        return kind, whole[: rng.randrange(1, len(whole))] if kind == "left while sending" else whole

    def _some(self, rng: random.Random, count: int) -> Rows:
        return rng.choices(self._rows, k=rng.randrange(count // 2, count))

    def _v2(self, rng: random.Random) -> bytes:
        rows = self._some(rng, 20)
        inputs = [
            {"name": name, "shape": [len(rows)], "datatype": "FP64", "data": [row[name] for row in rows]}
            for name in rows[0]
        ]
        return self._json(self._infer, {"inputs": inputs})

    def _arrow(self, rng: random.Random) -> bytes:
        return self._request(self._predict, arrow_body(self._some(rng, _SOME)), ARROW)

    def _labels(self, rng: random.Random) -> bytes:
        labels = [{"request_id": uuid.UUID(int=rng.getrandbits(128)).hex, "label": self._label} for _ in range(20)]
        return self._json(self._feedback, {"feedback": labels})

    def _json(self, path: str, value: Any) -> bytes:
        return self._request(path, json.dumps(value).encode())

    def _request(self, path: str, body: bytes, content_type: str = "application/json") -> bytes:
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\nauthorization: Bearer {self._token}\r\n"
            f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Clients:
    """Clients that ask a mix until the block ends; `counts` are of kinds and statuses."""

    def __init__(self, address: tuple[str, int], mix: Mix, count: int) -> None:
        self.counts = Counter[tuple[str, int]]()
        self._address, self._mix, self._stop, self._lock = address, mix, threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, seed: int) -> None:
        rng, connection = random.Random(seed), socket.create_connection(self._address, timeout=60)
        while not self._stop.is_set():
            kind, sent = self._mix.make(rng)
            status, is_kept = self._asked(connection, kind, sent)
            if not is_kept:
                connection.close()
                connection = socket.create_connection(self._address, timeout=60)
            with self._lock:
                self.counts[kind, status] += 1
        connection.close()

    def _asked(self, connection: socket.socket, kind: str, sent: bytes) -> tuple[int, bool]:
        """The status, 0 where none was read, and whether the connection is kept for another request."""
        try:
            connection.sendall(sent)
            if kind.startswith("left"):
                return 0, False
            with connection.makefile("rb") as answer:
                status = int(answer.readline().split()[1])
                headers = http.client.parse_headers(answer)
                answer.read(int(headers["content-length"]))
        except (ConnectionError, IndexError):
            return 0, False
        return status, headers.get("connection") != "close"
