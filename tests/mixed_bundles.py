"""A bundle over a column of each kind, with random weights, and the raw rows that it scores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pydantic import TypeAdapter

from raymill.bundle import Bundle
from raymill.drift_reference import DriftReference
from raymill.model_spec import ModelSpec
from raymill.models import build_model
from raymill.schema import infer_schema
from raymill.spec import TaskSpec
from raymill.statistics import TableSummary
from raymill.store import Store
from raymill.target import fit_task
from raymill.transform import Transform

ROWS = 700
MODELS: list[dict[str, Any]] = [{"type": "linear"}, {"type": "mlp", "hidden": [9, 5], "dropout": 0.5}]


def raw_rows() -> pa.Table:
    """One column of each kind, with gaps, and a target of each kind."""
    rng = np.random.default_rng(0)
    size, town = rng.normal(50, 9, ROWS), rng.integers(0, 40, ROWS)
    gap = rng.random(ROWS) < 0.1
    return pa.table(
        {
            "size": pa.array(size, mask=gap),
            "weight": rng.gamma(2.0, 3.0, ROWS),
            "colour": pa.array(rng.choice(["red", "green", "blue"], ROWS), mask=np.roll(gap, 1)),
            "town": [f"town {i}" for i in town],
            "sold": pa.array(rng.random(ROWS) < 0.5, mask=np.roll(gap, 2)),
            "at": [datetime(2026, 1, 1) + timedelta(minutes=int(m)) for m in rng.integers(0, 500_000, ROWS)],
            "two": rng.choice(["no", "yes"], ROWS),
            "many": rng.choice(["a", "b", "c"], ROWS),
            "regression": size * 3 + rng.normal(size=ROWS),
        }
    )


@dataclass(frozen=True)
class Written:
    """A bundle on disk, untrained but with random weights, and the rows that it is of."""

    uri: str
    digest: str
    raw: pa.Table


def write(folder: Path, model: dict[str, Any], target: str, dtype: torch.dtype = torch.float32) -> Written:
    raw = raw_rows()
    table = raw.select([*raw.column_names[:6], target])
    summary = TableSummary.of(table, np.ones(ROWS, bool))
    schema = infer_schema(summary, {}, (), target)
    transform = Transform.fit(schema, summary)
    kind = "regression" if target == "regression" else "classification"
    task = fit_task(TaskSpec.model_validate({"type": kind, "target": target}), summary)
    spec = TypeAdapter(ModelSpec).validate_python(model)
    torch.manual_seed(0)
    network = build_model(spec, transform.layout, task).to(dtype)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    digest = Bundle.write(
        Store(str(folder)),
        schema=schema,
        transform=transform,
        task=task,
        model=spec,
        spec={"name": "x"},
        lineage={"run": "x-1"},
        network=network,
        drift_reference=DriftReference.of(transform, summary),
    )
    return Written(uri=str(folder), digest=digest, raw=raw)
