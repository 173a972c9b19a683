import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raymill.drift_reference import DriftReference
from raymill.errors import DataError
from raymill.layout import CategoryFeature, Layout
from raymill.prepared import FORMAT, Prepared, Shard, SplitInfo, shard_table, write_shard
from raymill.rows import RowMatrix
from raymill.schema import Schema, infer_schema
from raymill.statistics import TableSummary
from raymill.store import Store
from raymill.task import Task
from raymill.transform import Features, Transform

TABLE = pa.table({"n": [1.0, 2.0, 4.0], "c": ["x", "y", "x"], "y": ["no", "yes", "no"]})


def _write(folder: Path) -> Prepared:
    store = Store(str(folder))
    summary = TableSummary.of(TABLE, np.ones(3, bool))
    schema: Schema = infer_schema(summary, {}, (), "y")
    transform = Transform.fit(schema, summary)
    shard = write_shard(store, "train/00000-t-0.parquet", TABLE)
    info = SplitInfo(rows=3, shards=(shard,), classes={"no": 2, "yes": 1})
    empty = SplitInfo(rows=0, shards=())
    prepared = Prepared(
        uri=store.uri,
        name="t",
        fingerprint="f" * 64,
        task=Task(kind="classification", target="y", classes=("no", "yes")),
        schema=schema,
        transform=transform,
        layout=transform.layout,
        splits={"train": info, "validation": empty, "test": empty},
        raw_test=empty,
        split={"by": "random", "seed": 0},
        source="t.csv",
        rows_read=4,
        rows_without_target=1,
        drift_reference=DriftReference.of(transform, summary),
    )
    prepared.write_manifest()
    return prepared


def test_a_manifest_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    written = _write(tmp_path)
    assert Prepared.open(str(tmp_path)) == written


def test_a_dataset_of_before_there_was_a_drift_reference_has_none(tmp_path: Path) -> None:
    written = replace(_write(tmp_path), drift_reference=None)
    written.write_manifest()
    assert Prepared.open(str(tmp_path)) == written
    manifest = tmp_path / "manifest.json"
    document = json.loads(manifest.read_text())
    del document["drift_reference"]
    manifest.write_text(json.dumps(document))
    assert Prepared.open(str(tmp_path)) == written


def test_without_a_manifest_there_is_no_dataset(tmp_path: Path) -> None:
    write_shard(Store(str(tmp_path)), "train/0.parquet", TABLE)
    with pytest.raises(DataError, match="no prepared dataset"):
        Prepared.open(str(tmp_path))


def test_another_format_is_refused(tmp_path: Path) -> None:
    _write(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"format": {FORMAT}', '"format": 99'))
    with pytest.raises(DataError, match="format 99"):
        Prepared.open(str(tmp_path))


def test_a_shard_is_read_whole_or_by_columns(tmp_path: Path) -> None:
    prepared = _write(tmp_path)
    shard = prepared.splits["train"].shards[0]
    assert prepared.read(shard).equals(TABLE)
    assert prepared.read(shard, ["c"]).column_names == ["c"]


def test_a_shard_that_is_not_what_was_written_is_an_error_naming_it(tmp_path: Path) -> None:
    prepared = _write(tmp_path)
    shard = prepared.splits["train"].shards[0]
    path = tmp_path / shard.path
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"train/00000-t-0.parquet has \d+ bytes"):
        prepared.read(shard)
    path.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    with pytest.raises(DataError, match="has other content"):
        prepared.read(shard)
    path.write_bytes(whole)
    short = Shard(path=shard.path, rows=2, size_bytes=shard.size_bytes, sha256=shard.sha256)
    with pytest.raises(DataError, match="has 3 rows, not 2"):
        prepared.read(short)
    path.unlink()
    with pytest.raises(DataError, match=r"00000-t-0\.parquet is gone"):
        prepared.read(shard)


def test_a_prepared_shard_has_numbers_then_categories_then_the_target() -> None:
    layout = Layout(numbers=("a", "b"), categories=(CategoryFeature(name="k", size=3),))
    numbers = np.arange(6, dtype=np.float32).reshape(3, 2)
    features = Features(numbers=numbers, categories=np.array([[0], [1], [2]], np.int32))
    table = shard_table(layout, features, np.array([1, 0, 1], np.int32))
    kinds = [("a", pa.float32()), ("b", pa.float32()), ("k", pa.int32()), ("__target__", pa.int32())]
    assert table.schema == pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds])
    assert table["b"].to_pylist() == [1.0, 3.0, 5.0]


def test_marks_are_stored_as_booleans_and_read_as_the_same_floats(tmp_path: Path) -> None:
    rows = 3_000
    marks = (np.arange(rows) % 3 == 0).astype(np.float32)
    late, minus, gap = marks.copy(), marks.copy(), marks.copy()
    late[-1], minus[1], gap[2] = 0.5, -0.0, np.nan
    numbers = np.stack([marks, late, minus, gap], axis=1)
    layout = Layout(numbers=("marks", "late", "minus", "gap"), categories=())
    features = Features(numbers=np.asfortranarray(numbers), categories=np.zeros((rows, 0), np.int32))
    table = shard_table(layout, features, np.zeros(rows, np.int32))
    assert [field.type for field in table.schema][:4] == [pa.bool_(), *[pa.float32()] * 3]
    shard = write_shard(Store(str(tmp_path)), "train/00000-t-1.parquet", table)
    split = {"train": SplitInfo(rows=rows, shards=(shard,))}
    prepared = replace(_write(tmp_path), layout=layout, splits=split)
    words = RowMatrix.load(prepared, "train", [(0, rows)]).words.numpy()
    assert np.array_equal(words[:, :4], numbers.view(np.int32))
