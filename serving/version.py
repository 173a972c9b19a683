"""A version: one model as a replica holds it, from a request's rows to scores and on to the answer's text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from serving.answer import AnswerEncoder
from serving.batcher import Batcher
from serving.model import Model

Row = dict[str, Any]


class Version:
    """Scores rows together with those of other requests; its methods but `score_apart` belong to one event loop."""

    def __init__(self, name: str, label: str, model: Model, most_rows: int) -> None:
        self.label, self.model = label, model
        self._predictor = model.predictor
        self._batcher = Batcher(model.predictor.scores, most_rows)
        self._encoder = AnswerEncoder(model.predictor.task)
        self._shown = json.dumps({"name": name, "version": label})

    def warm_up(self) -> None:
        """Scores and writes a row of missing cells, so that no caller pays for first calls."""
        self.answer(self.score_apart([{}]), "")

    async def score(self, rows: Sequence[Row]) -> np.ndarray:
        """The scores of JSON rows, `(rows, ...)`. Raises RowsError for rows that don't fit the schema."""
        return await self._batcher.submit(self._predictor.encode(rows))

    async def score_table(self, table: pa.Table) -> np.ndarray:
        """The scores of a raw table's rows. Raises DataError for what doesn't fit the schema."""
        return await self._batcher.submit(self._predictor.encode_table(table))

    def score_apart(self, rows: Sequence[Row]) -> np.ndarray:
        """What `score` gives, in whatever thread it is called."""
        return self._predictor.scores(self._predictor.encode(rows))

    def answer(self, scores: np.ndarray, request_id: str) -> str:
        """The body of an answer, JSON. Raises InternalError for a score that is not finite."""
        predictions = self._encoder.encode(scores)
        return f'{{"predictions":{predictions},"model":{self._shown},"request_id":{json.dumps(request_id)}}}'
