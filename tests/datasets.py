"""A real prepared dataset on disk, made without Ray, for tests of what reads one by its URI."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raymill.drift_reference import DriftReference
from raymill.prepared import Prepared, SplitInfo, shard_table, write_shard
from raymill.schema import infer_schema
from raymill.spec import TaskSpec
from raymill.statistics import TableSummary
from raymill.store import Store
from raymill.target import encode_target, fit_task
from raymill.task import Task
from raymill.transform import Transform

ROWS = {"train": 403, "validation": 61, "test": 97}
CANONICAL = {
    "number": pa.float64(),
    "category": pa.string(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),
}
"""The Arrow type of a conformed column by its kind."""
_SHARD_ROWS = 150


def raw_rows(rows: int, seed: int = 0) -> pa.Table:
    """Two numbers, a category with gaps, and the learnable targets `late` (two classes) and `delay` (a value)."""
    rng = np.random.default_rng(seed)
    size, weight, colour = rng.normal(40, 12, rows), rng.gamma(2.0, 3.0, rows), rng.choice(["red", "green"], rows)
    delay = 0.1 * (size - 40) + (colour == "red") + rng.normal(0, 0.3, rows)
    gaps = rng.random(rows) < 0.1
    return pa.table(
        {
            "size": size,
            "weight": weight,
            "colour": pa.array(colour, mask=gaps),
            "late": np.where(delay > 0.5, "yes", "no"),
            "delay": delay,
        }
    )


def write_prepared(uri: str, target: str = "late") -> Prepared:
    """Writes shards of uneven size for each split, the test split raw as well, and the manifest."""
    store = Store(uri)
    other = "delay" if target == "late" else "late"
    raw = {name: raw_rows(rows, seed).drop_columns([other]) for seed, (name, rows) in enumerate(ROWS.items())}
    summary = TableSummary.of(raw["train"], np.ones(ROWS["train"], bool))
    schema = infer_schema(summary, {}, (), target)
    transform = Transform.fit(schema, summary)
    kind = "classification" if target == "late" else "regression"
    task = fit_task(TaskSpec.model_validate({"type": kind, "target": target}), summary)
    prepared = Prepared(
        uri=store.uri,
        name="fake",
        fingerprint="f" * 64,
        task=task,
        schema=schema,
        transform=transform,
        layout=transform.layout,
        splits={name: _split(store, name, table, transform, task, schema) for name, table in raw.items()},
        raw_test=_shards(store, "raw_test", raw["test"]),
        split={"by": "random", "seed": 0},
        source="rows.csv",
        rows_read=sum(ROWS.values()),
        rows_without_target=0,
        drift_reference=DriftReference.of(transform, summary),
    )
    prepared.write_manifest()
    return prepared


def _split(store: Store, name: str, raw: pa.Table, transform: Transform, task: Task, schema) -> SplitInfo:
    values, _ = encode_target(task, raw[task.target])
    target = values.astype(np.int32) if task.kind == "classification" else task.standardise(values)
    return _shards(store, name, shard_table(transform.layout, transform.apply(schema.conform(raw)), target))


def _shards(store: Store, folder: str, table: pa.Table) -> SplitInfo:
    starts = range(0, table.num_rows, _SHARD_ROWS)
    shards = (write_shard(store, f"{folder}/{start:05d}.parquet", table.slice(start, _SHARD_ROWS)) for start in starts)
    return SplitInfo(rows=table.num_rows, shards=tuple(shards))
