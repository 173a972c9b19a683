"""A steady load: clients with kept connections ask at a fixed rate, and what becomes of each request is counted.

It knows HTTP, and no Ray.
"""

from __future__ import annotations

import http.client
import json
import select
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.callers import Callers

_PATIENCE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`what` is `answered`, `refused` (no connection), `cut` (no whole answer) or another status than 200.

    Times are `time.monotonic()`.
    """

    what: str
    began_s: float
    ended_s: float
    version: str = ""


class SteadyLoad(Callers):
    """Clients that ask, each on its connection, `per_s` requests together, while the block runs."""

    def __init__(self, host: str, port: int, path: str, body: bytes, *, clients: int = 8, per_s: float = 100) -> None:
        super().__init__(clients)
        self.outcomes: list[Outcome] = []
        self.clients = clients
        self._address, self._path, self._body = (host, port), path, body
        self._per_s = per_s

    @property
    def counts(self) -> Counter[str]:
        return Counter(each.what for each in list(self.outcomes))

    @property
    def failed(self) -> list[Outcome]:
        return [each for each in list(self.outcomes) if each.what != "answered"]

    def answered_since(self, at_s: float) -> int:
        """How many requests that began after that moment have been answered."""
        return sum(each.what == "answered" and each.began_s > at_s for each in reversed(list(self.outcomes)))

    def versions_since(self, at_s: float) -> set[str]:
        return {each.version for each in list(self.outcomes) if each.began_s > at_s and each.version}

    def _call(self, number: int) -> None:
        connection, due_s = self._connection(), time.monotonic() + number / self._per_s
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            due_s = max(due_s + self.clients / self._per_s, time.monotonic())
            if connection.sock is not None and select.select([connection.sock], [], [], 0)[0]:
                connection.close()  # by the server, between two requests: every client's pool opens another
            began_s = time.monotonic()
            what, version = self._asked(connection)
            self.outcomes.append(Outcome(what=what, began_s=began_s, ended_s=time.monotonic(), version=version))

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self._address, timeout=_PATIENCE_S)

    def _asked(self, connection: http.client.HTTPConnection) -> tuple[str, str]:
        try:
            if connection.sock is None:
                connection.connect()
        except OSError:
            connection.close()
            return "refused", ""
        try:
            connection.request("POST", self._path, self._body, {"content-type": "application/json"})
            answer = connection.getresponse()
            body: Any = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return "cut", ""
        if answer.status != 200:
            return str(answer.status), ""
        return "answered", json.loads(body)["model"]["version"]
