"""Bundles that know the truth of a small table, and one that has it wrong for a fifth of all rows.

A row has the numbers `a` and `b`, uniform from -1 to 1; the truth is yes where `a` is above 0.
"""

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

_ROWS, _STEPS = 4_000, 300
_FLIPPED_ABOVE = 0.6


def truth(a: float) -> str:
    return "yes" if a > 0 else "no"


def write_trained(uri: str, *, seed: int, flipped: bool = False) -> str:
    """Writes a network trained on the truth, `flipped` where `b` is above 0.6; returns the bundle's digest."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, _ROWS))
    says = (a > 0) != (flipped & (b > _FLIPPED_ABOVE))
    table = pa.table({"a": a, "b": b, "y": np.where(says, "yes", "no")})
    summary = TableSummary.of(table, np.ones(_ROWS, bool))
    schema = infer_schema(summary, {}, (), "y")
    transform = Transform.fit(schema, summary)
    task = fit_task(TaskSpec(type="classification", target="y"), summary)
    model = MlpSpec(hidden=(32,))
    torch.manual_seed(seed)
    network = build_model(model, transform.layout, task)
    features = transform.apply(schema.conform(table.drop_columns("y")))
    numbers, categories = torch.from_numpy(features.numbers), torch.from_numpy(features.categories).long()
    target = torch.from_numpy(says.astype(np.int64))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(numbers, categories), target)
        loss.backward()
        optimizer.step()
    return Bundle.write(
        Store(uri),
        schema=schema,
        transform=transform,
        task=task,
        model=model,
        spec={},
        lineage={"run": f"run-{seed}"},
        network=network,
    )
