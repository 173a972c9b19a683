"""The model that a replica serves: a Predictor loaded by URI and digest, and what people are shown of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from raymill.drift_bins import DriftBins
from raymill.encodings import Features
from raymill.example_row import example_row
from raymill.schema import Schema
from raymill.task import Task

_SHOWN = ("run", "dataset_fingerprint", "split", "git_commit", "created")


class Scores(Protocol):
    """What serving asks of a Predictor."""

    @property
    def schema(self) -> Schema: ...
    @property
    def task(self) -> Task: ...
    @property
    def digest(self) -> str: ...
    def encode(self, rows: Sequence[dict[str, Any]]) -> Features: ...
    def encode_table(self, table: pa.Table) -> Features: ...
    def scores(self, features: Features) -> np.ndarray: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """`lineage` is for its card, `example` a row for its page; `drift` counts rows where its bundle has a reference."""

    predictor: Scores
    lineage: dict[str, Any]
    example: dict[str, Any] = field(default_factory=dict)
    drift: DriftBins | None = None


def load_model(bundle_uri: str, digest: str) -> Model:
    """Loads a bundle, holds it to its digest, and chooses its fastest form here. Raises DataError, StoreError."""
    from raymill.bundle import Bundle
    from raymill.predictor import Predictor

    bundle = Bundle.read(bundle_uri, digest)
    shown = {key: bundle.lineage[key] for key in _SHOWN if key in bundle.lineage}
    example = example_row(bundle.transform.columns)
    drift = None if bundle.drift_reference is None else DriftBins(bundle.drift_reference, bundle.transform)
    return Model(predictor=Predictor.of(bundle).tuned(), lineage=shown, example=example, drift=drift)
