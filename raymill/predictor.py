"""The Predictor: from raw rows to scores, the same in training's last check, evaluation, batch and serving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from torch import nn

from raymill.bundle import Bundle
from raymill.encodings import Features
from raymill.forward import Forward, Reference, fastest
from raymill.row_encoder import Row, RowEncoder
from raymill.schema import Schema
from raymill.task import Task
from raymill.transform import Transform

_CHUNK_ROWS = 8192
# So few rows of a table cost less as Python's values than the calls into Arrow do.
_MOST_ROWS_BY_ROW = 8


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A frozen transform and network. Safe to share between threads; memory is bounded by 8,192 rows at a time."""

    schema: Schema
    transform: Transform
    task: Task
    network: nn.Module
    digest: str
    forward: Forward

    @classmethod
    def load(cls, uri: str, digest: str | None = None) -> Predictor:
        """Loads a bundle by its URI and, where given, holds it to a digest. Raises DataError, StoreError."""
        return cls.of(Bundle.read(uri, digest))

    @classmethod
    def of(cls, bundle: Bundle) -> Predictor:
        network = bundle.network()
        return cls(
            schema=bundle.schema,
            transform=bundle.transform,
            task=bundle.task,
            network=network,
            digest=bundle.digest,
            forward=Reference(network),
        )

    def tuned(self) -> Predictor:
        """The same, with whatever form of the network is measured to be fastest here; scores agree to 1e-6."""
        return replace(self, forward=fastest(self.network, self.transform.layout, self.task))

    def predict(self, table: pa.Table) -> np.ndarray:
        """Scores raw rows, conformed to the schema first.

        Returns `(rows, classes) float64` probabilities, or `(rows,) float64` in the target's own units.
        Raises DataError naming the column and row of a cell that doesn't fit the schema.
        """
        conformed = self.schema.conform(table)
        starts = range(0, max(conformed.num_rows, 1), _CHUNK_ROWS)
        return np.concatenate([self.scores(self.transform.apply(conformed.slice(s, _CHUNK_ROWS))) for s in starts])

    def encode(self, rows: Sequence[Row]) -> Features:
        """The features of JSON rows. Raises RowsError with `.problems`."""
        return self._rows.encode(rows) or self.transform.apply(self.schema.table_from_rows(list(rows)))

    def encode_table(self, table: pa.Table) -> Features:
        """The features of a raw table's rows. Raises DataError naming the column and row of a cell that doesn't fit."""
        if table.num_rows <= _MOST_ROWS_BY_ROW:
            self.schema.require(table.column_names)
            plain = self._encoded_by_row(table.select(list(self.schema.kinds)))
            if plain is not None:
                return plain
        return self.transform.apply(self.schema.conform(table))

    def _encoded_by_row(self, table: pa.Table) -> Features | None:
        try:
            return self._rows.encode(table.to_pylist())
        except (OverflowError, ValueError):  # a time of a year, or in a zone, that Python doesn't know and Arrow does
            return None

    def scores(self, features: Features) -> np.ndarray:
        """The scores of encoded rows, as `predict` returns them."""
        return self.task.scores(self.forward(features))

    @cached_property
    def _rows(self) -> RowEncoder:
        return RowEncoder(self.schema, self.transform.columns)
