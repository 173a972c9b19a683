"""A real bundle, small and untrained, for tests of what loads one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from raymill.bundle import Bundle
from raymill.model_spec import MlpSpec
from raymill.models import build_model
from raymill.schema import infer_schema
from raymill.spec import TaskSpec
from raymill.statistics import TableSummary
from raymill.store import Store
from raymill.target import fit_task
from raymill.transform import Transform

CLASSES = ("no", "yes")


def write_bundle(uri: str, seed: int = 0) -> str:
    """Writes a two-class bundle over the numbers `a`, `b` and the category `color`; returns its digest."""
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=200), "b": rng.normal(size=200), "color": rng.choice(["red", "blue"], 200)}
    table = pa.table(columns | {"y": rng.choice(CLASSES, 200)})
    summary = TableSummary.of(table, np.ones(200, bool))
    schema = infer_schema(summary, {}, (), "y")
    transform = Transform.fit(schema, summary)
    task = fit_task(TaskSpec(type="classification", target="y"), summary)
    model = MlpSpec(hidden=(16,))
    generator = torch.Generator().manual_seed(seed)
    network = build_model(model, transform.layout, task)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    lineage = {"run": f"run-{seed}", "dataset_uri": "secret/place", "created": "2026-01-01T00:00:00+00:00"}
    return Bundle.write(
        Store(uri),
        schema=schema,
        transform=transform,
        task=task,
        model=model,
        spec={},
        lineage=lineage,
        network=network,
    )
