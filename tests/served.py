"""A model that is served to tests without a server: handlers called with requests, and a model that only counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from raymill.encodings import Features
from raymill.schema import Column, Schema
from raymill.task import Task
from serving.arguments import EndpointArgs
from serving.handler import Handler
from serving.model import Model
from serving.scored import Score, Scored
from serving.version import Version

TWO_NUMBERS = Schema(columns=(Column(name="a", kind="number"), Column(name="b", kind="number")))
ALL_KINDS = Schema(
    columns=(
        Column(name="size", kind="number"),
        Column(name="colour", kind="category"),
        Column(name="sold", kind="boolean"),
        Column(name="at", kind="timestamp"),
    )
)
YES_NO = Task(kind="classification", target="y", classes=("no", "yes"))
PRICE = Task(kind="regression", target="price", mean=0.0, scale=1.0)
POOL = ThreadPoolExecutor(1)


@dataclass
class FirstColumn:
    """Scores a row by its first column, a number: the probability of class yes, or the value; a missing cell is 0."""

    schema: Schema = TWO_NUMBERS
    task: Task = YES_NO
    digest: str = "d"

    def encode(self, rows: Sequence[dict[str, Any]]) -> Features:
        return self.encode_table(self.schema.table_from_rows(list(rows)))

    def encode_table(self, table: pa.Table) -> Features:
        cells = self.schema.conform(table)[0].to_numpy(zero_copy_only=False)
        return Features(numbers=np.nan_to_num(cells)[:, None], categories=np.empty((len(cells), 0), np.int32))

    def scores(self, features: Features) -> np.ndarray:
        share = features.numbers[:, 0]
        return np.stack([1 - share, share], axis=1) if self.task.classes else share


def arguments(**changes: Any) -> EndpointArgs:
    return EndpointArgs(**({"name": "demo", "version": "7", "bundle_uri": "u", "digest": "d"} | changes))


def served(schema: Schema = TWO_NUMBERS, task: Task = YES_NO) -> Model:
    return Model(predictor=FirstColumn(schema, task), lineage={})


def scoring(model: Model, label: str = "7") -> Score:
    """Scores as a replica does."""
    version = Version("demo", label, model, 256, POOL)

    async def score(table: pa.Table, request_id: str) -> Scored:
        return Scored(version, await version.score(table))

    return score


def request_with(body: bytes = b"", **headers: str) -> Request:
    """A POST; `_` in a header's name stands for `-`."""
    raw = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""}, receive)


def ask(handler: Handler, body: bytes | dict[str, Any] = b"", **headers: str) -> Response:
    """The answer of a handler to a request with that body, JSON of an object."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body

    async def answer() -> Response:
        return await handler(request_with(data, **headers), "request-1")

    return asyncio.run(answer())
