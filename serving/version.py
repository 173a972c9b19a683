"""A version: one model as a replica holds it, from a request's rows to scores and on to the answer's text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from raymill.encodings import Features
from raymill.task import Task
from serving.answer import AnswerEncoder
from serving.batcher import Batcher
from serving.model import Model
from serving.refusal import Refusal

# JSON objects, or a raw table.
Rows: TypeAlias = Sequence[dict[str, Any]] | pa.Table


# Hears which version scores how many rows together, in whatever thread.
Told: TypeAlias = Callable[[str, int], None]
# Of one answer: as text and as Python's numbers they take a hundred bytes each.
MOST_SCORES = 4_000_000
# More rows than these are scored beside the event loop, which goes on answering: it may take a second.
MOST_ROWS_INLINE = 512


class Version:
    """Scores rows together with those of other requests; its coroutines belong to one event loop."""

    def __init__(
        self, name: str, label: str, model: Model, most_rows: int, apart: Executor, told: Told | None = None
    ) -> None:
        self.label, self.model = label, model
        self._predictor, self._apart, self._told = model.predictor, apart, told
        self._batcher = Batcher(self._scores, most_rows)
        self._encoder = AnswerEncoder(model.predictor.task)
        self._most_rows = MOST_SCORES // max(model.predictor.task.outputs, 1)
        self._shown = json.dumps({"name": name, "version": label})

    @property
    def task(self) -> Task:
        return self._predictor.task

    def warm_up(self) -> None:
        """Scores and writes a row of missing cells, so that no caller pays for first calls."""
        self.answer(self._scored([{}]), "")

    async def score(self, rows: Rows) -> np.ndarray:
        """The scores of rows, `(rows, ...)`.

        Raises DataError for what doesn't fit the schema; of JSON, RowsError; Refusal 413 for more than 4 million.
        """
        if len(rows) > self._most_rows:
            raise _too_many(len(rows), self._most_rows)
        if len(rows) > MOST_ROWS_INLINE:
            return await asyncio.get_running_loop().run_in_executor(self._apart, self._scored, rows)
        return await self._batcher.submit(self._encoded(rows))

    def answer(self, scores: np.ndarray, request_id: str) -> str:
        """The body of an answer, JSON. Raises InternalError for a score that is not finite."""
        predictions = self._encoder.encode(scores)
        return f'{{"predictions":{predictions},"model":{self._shown},"request_id":{json.dumps(request_id)}}}'

    def _encoded(self, rows: Rows) -> Features:
        return self._predictor.encode_table(rows) if isinstance(rows, pa.Table) else self._predictor.encode(rows)

    def _scored(self, rows: Rows) -> np.ndarray:
        return self._scores(self._encoded(rows))

    def _scores(self, features: Features) -> np.ndarray:
        if self._told is not None:
            self._told(self.label, features.rows)
        return self._predictor.scores(features)


def _too_many(rows: int, most: int) -> Refusal:
    return Refusal(413, f"{rows} rows have more than {MOST_SCORES} scores; send at most {most} at a time.")
