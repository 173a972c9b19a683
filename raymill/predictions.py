"""Predictions: a folder of Parquet, one file per piece of one input, all of them by one bundle.

    <piece>.parquet      the rows of a piece, in their order, with the columns of `raymill.answers`
    _started.json        which input, bundle and key the pieces are of, while they are not complete
    _manifest.json       the same and the sum, written last: with it the folder is complete

It knows files, and neither who scores them nor on which machine. Names that begin with `_` are no data to whoever
reads the folder as one table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from raymill.answers import PREDICTION, answer_columns, probability_columns
from raymill.errors import DataError
from raymill.lease import Lease, lease
from raymill.predictor import Predictor
from raymill.record import record_of
from raymill.source import Source
from raymill.store import Store
from raymill.task import Task

MANIFEST = "_manifest.json"
STARTED = "_started.json"
_LEASE = "_lease.json"
_FIX = "Name another --output, or delete it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A finished batch prediction."""

    uri: str
    rows: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """The folder `store` for the predictions of one input (`source`, a fingerprint) by one bundle (`digest`)."""

    store: Store
    source: str
    digest: str
    key: tuple[str, ...]

    def found(self) -> Predicted | None:
        """What is complete there. Raises DataError where that is of another input, bundle or key."""
        if not self.store.exists(MANIFEST):
            return None
        data = self._own(MANIFEST, "predictions")
        self.store.delete(STARTED)
        return record_of(Predicted, data["predicted"], f"{self.store.uri}/{MANIFEST}")

    def lease(self) -> AbstractContextManager[Lease]:
        """Keeps other processes from writing here while the block runs."""
        return lease(self.store, _LEASE, f"The output {self.store.uri}")

    def start(self, names: Iterable[str]) -> None:
        """Claims the folder for files of these names, or finds it claimed for the same work and half done.

        A claim of other work of which nothing has been written gives way. Raises DataError where the folder holds
        anything else: other files, or a beginning of other predictions.
        """
        held = [file.path for file in self.store.files(recursive=True) if file.path not in (_LEASE, STARTED)]
        own: set[str] = set()
        if held and self.store.exists(STARTED):
            self._own(STARTED, "half-written predictions")
            own |= set(names)
        stranger = next((path for path in held if path not in own), None)
        if stranger is not None:
            raise DataError(f"{self.store.uri} holds other files ({stranger}).", "Name an --output of its own.")
        for torn in self.store.unfinished():
            self.store.delete(torn.path)
        self.store.write_json(STARTED, self._identity)

    def finish(self, predicted: Predicted) -> None:
        """Makes the predictions exist; all their files must have been written."""
        self.store.write_json(MANIFEST, self._identity | {"predicted": asdict(predicted)})
        self.store.delete(STARTED)

    @property
    def _identity(self) -> dict[str, Any]:
        return {"source": self.source, "digest": self.digest, "key": list(self.key)}

    def _own(self, path: str, what: str) -> dict[str, Any]:
        found: dict[str, Any] = self.store.read_json(path)
        for field, name in {"source": "input", "digest": "model", "key": "data.key"}.items():
            if found.get(field) != self._identity[field]:
                raise DataError(f"{self.store.uri} holds {what} of another {name}.", _FIX)
        return found


def require_apart(source: Source, output: Store) -> None:
    """Refuses an output in which an input's files lie, or the other way round."""
    if source.overlaps(output):
        raise DataError(
            f"The output {output.uri} and the input in {source.store.uri} overlap, so that each would be read as the "
            "other.",
            "Name an --output of its own.",
        )


def require_free_names(task: Task, kept: Collection[str]) -> None:
    """Refuses to keep a column of the input that has the name of an answer."""
    for name in (PREDICTION, *probability_columns(task)):
        if name in kept:
            raise DataError(
                f"The input's column {name!r} has the name of a column that the predictions get.",
                "Rename it, or leave it out of the input.",
            )


def with_answers(kept: pa.Table, predictor: Predictor, rows: pa.Table) -> pa.Table:
    """`kept` with the answers for `rows` as its last columns, whose names must be free."""
    for name, values in answer_columns(predictor.task, predictor.predict(rows)).items():
        kept = kept.append_column(name, pa.array(values))
    return kept
