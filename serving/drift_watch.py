"""The drift watch: holds a share of what a replica is asked against the rows that its model was trained on.

Two rows a second are taken, the first that come, and what was not taken later, up to a thousand at once, from all parts
of a request of more. Each thousand is a look, at the newest 10,000: those of 75 minutes or more, of which what one
caller sends in some of them is a small part, while a single large request a day is looked at as well. A row is kept as
it was sent until it is counted, within five seconds, and 16 MiB at a time; after that only counts are.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from raymill.drift import LEAST_ROWS, Drift, Drifted, drift
from raymill.drift_bins import DriftBins
from raymill.schema import Schema
from serving.raw_rows import RawRows, Rows

logger = logging.getLogger("ray.serve")
_TURN_S = 5.0
_ROWS_PER_TURN = 10
_LOOK_ROWS = _MOST_ROWS = LEAST_ROWS
_MOST_BYTES = 16 * 1024 * 1024
_LOOKS_KEPT = 10
_MOST_NAMED = 20


class DriftWatch:
    """`found` is what the last look has shown; before there was one, None.

    Any thread may call its methods; a request pays for a comparison, or for an append where its row is taken.
    """

    def __init__(self, schema: Schema, bins: DriftBins, say: Callable[[str], None] = logger.warning) -> None:
        self.found: Drift | None = None
        self._rows, self._bins, self._say = RawRows(schema), bins, say
        self._lock, self._random = threading.Lock(), np.random.default_rng()
        self._waiting: list[Rows] = []
        self._room, self._room_bytes = _MOST_ROWS, _MOST_BYTES
        self._growing = np.zeros_like(bins.train)
        self._looks: deque[np.ndarray] = deque(maxlen=_LOOKS_KEPT)
        self._said: set[str] = set()
        self._has_failed = False

    def start(self) -> None:
        """Counts every five seconds, in a thread that ends with its process."""

        def work() -> None:
            pause = threading.Event()
            while not pause.wait(_TURN_S):
                self.turn()

        threading.Thread(target=work, name="drift-watch", daemon=True).start()

    def saw(self, rows: Rows) -> None:
        """Takes rows that have been scored, as many as there is room for."""
        if self._room > 0:
            self._take(rows)

    def turn(self) -> None:
        """Counts what was taken, and looks at it where there are a thousand rows more."""
        with self._lock:
            taken, self._waiting = self._waiting, []
            self._room, self._room_bytes = min(self._room + _ROWS_PER_TURN, _MOST_ROWS), _MOST_BYTES
        if not taken:
            return
        try:
            self._growing += self._bins.count(self._rows.conformed(taken))
        except Exception as error:  # noqa: BLE001 (what is wrong with a few rows ends no watch)
            self._fail(error)
        if self._growing[0].sum() >= _LOOK_ROWS:
            self._look()

    def _take(self, rows: Rows) -> None:
        with self._lock:
            if self._room <= 0:
                return
            some = self._drawn(rows, self._room)
            size_bytes = self._rows.size_of(some)
            if size_bytes > self._room_bytes:
                some = self._drawn(some, max(len(some) * self._room_bytes // size_bytes, 1))
                size_bytes = self._rows.size_of(some)
            if size_bytes <= self._room_bytes:
                self._waiting.append(some)
                self._room -= len(some)
                self._room_bytes -= size_bytes

    def _drawn(self, rows: Rows, most: int) -> Rows:
        """At most so many of the rows, one of each of as many equal parts, since even steps miss what comes in turns.

        A part of a table is a copy, which holds no more than itself.
        """
        if len(rows) <= most:
            return rows
        ends = np.arange(most + 1) * len(rows) // most
        at = self._random.integers(ends[:-1], ends[1:])
        return rows.take(pa.array(at)) if isinstance(rows, pa.Table) else [rows[index] for index in at]

    def _look(self) -> None:
        self._looks.append(self._growing)
        self._growing = np.zeros_like(self._growing)
        self.found = drift(self._bins.names, self._bins.train, np.sum(self._looks, axis=0))
        self._tell(self.found)

    def _tell(self, found: Drift) -> None:
        """Says which columns drift whenever they are others than before."""
        names = {column.name for column in found.drifting} if isinstance(found, Drifted) else set()
        if names != self._said:
            self._say(_in_words(found) if isinstance(found, Drifted) else "no column drifts any more")
        self._said = names

    def _fail(self, error: Exception) -> None:
        if not self._has_failed:
            # Its kind alone, since what it says may hold a cell of a private column.
            self._say(f"rows can't be counted for drift, by a {type(error).__name__}; this is said once")
        self._has_failed = True


def _in_words(found: Drifted) -> str:
    columns = found.drifting
    worst = ", ".join(f"{c.name!r} {c.effect:.0%} (at least {c.at_least:.0%})" for c in columns[:_MOST_NAMED])
    return (
        f"{len(columns)} of {len(found.columns)} columns drift; of the newest {found.rows} rows so many lie elsewhere "
        f"than of the train rows: {worst}"
    )
