"""The request log: a share of the requests, with their answers, as Parquet in the store, off the request's path.

Whole requests are taken, by a hash of their id alone: every replica takes the same ones, a repeated id is taken
again, and the label that comes for an id later finds its row. What is written is for `raymill.endpoint_log` to say.
Columns that the spec marks private get into no table that is kept: they are gone with the writer's next turn.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from raymill.endpoint_log import request_table, requests_folder
from raymill.errors import DataError
from raymill.schema import Schema, absent_column
from raymill.store import Store
from raymill.task import Task
from serving.answered import Answered
from serving.hourly_writer import Bounds, HourlyWriter
from serving.raw_rows import RawRows, Rows

_REQUEST_BYTES = 1_024


class Sampler:
    """Says which request ids belong to a share of all, the same ones everywhere and for ever.

    By BLAKE2b under a name of its own, so that the share is independent of any other that is made by the same ids, as
    that of a canary.
    """

    def __init__(self, share: float) -> None:
        self._below = int(share * 2**64)
        self._hash = hashlib.blake2b(digest_size=8, person=b"raymill log")

    def takes(self, request_id: str) -> bool:
        hashed = self._hash.copy()
        hashed.update(request_id.encode(errors="surrogatepass"))
        return int.from_bytes(hashed.digest(), "big") < self._below


class RequestLog:
    """An observer that hands its share of what is answered to a writer of tables.

    Memory: the writer's bounds, by which a request that has no room left is dropped whole and its rows are counted.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        replica: str,
        *,
        sample: float,
        every_s: float,
        bounds: Bounds | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sampler = Sampler(sample)
        self._versions: dict[str, _Version] = {}
        self.writer = HourlyWriter(
            store, requests_folder(name), replica, self._table, every_s=every_s, bounds=bounds, clock=clock
        )

    def learn(self, version: str, schema: Schema, task: Task, private: Collection[str]) -> None:
        """Tells what a version takes, before it answers, and which of its columns are left out.

        Raises DataError for a private column that it doesn't know, since what is meant by it would be logged.
        """
        known = [*schema.kinds, *dict(schema.left_out)]
        for column in private:
            if column not in known:
                error = absent_column(f"features.{column}.private", column, known)
                raise DataError(
                    f"features marks {column!r} private, and version {version} knows no such column.",
                    f"{error.fix} Correct it, or log nothing: serve.log.sample=0.",
                )
        hidden = [name for name in schema.kinds if name in private]
        self._versions[version] = _Version(RawRows(schema), task, hidden)

    def saw(self, answered: Answered) -> None:
        """Takes a request that is in the share: some microseconds for one row, about one for a request that isn't.

        Rows of a version that was not learnt are dropped and counted.
        """
        if not self._sampler.takes(answered.request_id):
            return
        version = self._versions.get(answered.version)
        if version is None:
            self.writer.drop(len(answered.scores))
            return
        # The scores of a request may be a part of those of many.
        kept = _Kept(answered.request_id, answered.rows, answered.scores.copy(), answered.seconds, answered.at_s)
        self.writer.offer(
            kept,
            group=answered.version,
            at_s=answered.at_s,
            rows=len(answered.scores),
            size_bytes=_REQUEST_BYTES + answered.scores.nbytes + version.rows.size_of(answered.rows),
        )

    def _table(self, version: str, kept: list[_Kept]) -> pa.Table:
        """The logged rows of some requests to one version, those of JSON first."""
        model = self._versions[version]
        kept = sorted(kept, key=lambda each: not isinstance(each.rows, list))
        inputs = model.rows.conformed([each.rows for each in kept])
        requests = pa.table(
            {
                "request_id": [_stored(each.request_id) for each in kept],
                "seconds": pa.array([each.seconds for each in kept], pa.float64()),
                "at": pa.array([each.at_s for each in kept], pa.float64()),
            }
        )
        return request_table(
            model.task,
            version,
            inputs.drop_columns(model.private),
            np.concatenate([each.scores for each in kept]),
            requests,
            np.array([len(each.scores) for each in kept]),
        )


class _Version(NamedTuple):
    """What a version takes, and what of it is private."""

    rows: RawRows
    task: Task
    private: list[str]


class _Kept(NamedTuple):
    request_id: str
    rows: Rows
    scores: np.ndarray
    seconds: float
    at_s: float


def _stored(request_id: str) -> str:
    """An id as Parquet takes it: one caller's half of a surrogate pair would keep others' rows from being written."""
    return request_id.encode(errors="replace").decode()
