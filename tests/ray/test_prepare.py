"""The prepare job on one small Ray."""

from __future__ import annotations

import dataclasses
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import ray.data
from ray.data import ExecutionResources

from jobs.prepare import prepare
from raymill.cell_error import CellError
from raymill.console import Console
from raymill.errors import DataError, ResourceError, StoreError
from raymill.lease import lease
from raymill.prepared import Prepared
from raymill.source import Source
from raymill.spec import Spec
from raymill.store import Store, encode_json

pytestmark = pytest.mark.usefixtures("ray_session")
ROWS = 2_000


def _spec(folder: Path, source: str, target: str = "label", **more: Any) -> Spec:
    data = {"source": source, **more.pop("data", {})}
    task = {"type": "classification", "target": target}
    return Spec.model_validate({"name": "t", "task": task, "data": data, "store": str(folder / "store"), **more})


def _prepare(spec: Spec) -> tuple[Prepared, str]:
    stream = io.StringIO()
    return prepare(spec, Console(stream)), stream.getvalue()


@pytest.fixture
def table() -> pa.Table:
    rng = np.random.default_rng(5)
    when = np.datetime64("2024-01-01", "h") + rng.integers(0, 4_000, ROWS)
    return pa.table(
        {
            "id": np.arange(ROWS),
            "x": rng.normal(size=ROWS),
            "city": pa.array(rng.choice(["Oslo", "Rome", None], ROWS)),
            "when": pa.array(when.astype("datetime64[us]")),
            "group": rng.integers(0, 100, ROWS),
            "label": rng.choice(["no", "yes"], ROWS),
        }
    )


@pytest.fixture
def csv_file(table: pa.Table, tmp_path: Path) -> str:
    pacsv.write_csv(table, tmp_path / "t.csv")
    return str(tmp_path / "t.csv")


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Source.open

    def open_small(uri: str, store: Store | None = None) -> Source:
        return dataclasses.replace(opened(uri, store), csv_piece_bytes=20_000)

    monkeypatch.setattr(Source, "open", open_small)


def _content(uri: str) -> dict[str, bytes]:
    return {str(p.relative_to(uri)): p.read_bytes() for p in sorted(Path(uri).rglob("*")) if p.is_file()}


def test_breast_cancer_becomes_a_dataset_that_opens(tmp_path: Path) -> None:
    prepared, said = _prepare(_spec(tmp_path, "bundled:breast_cancer", "diagnosis"))
    assert Prepared.open(prepared.uri) == prepared
    assert prepared.rows_read == sum(split.rows for split in prepared.splits.values()) == 569
    assert len(prepared.layout.numbers) == 30 and prepared.task.classes == ("benign", "malignant")
    assert sum(prepared.splits["train"].classes.values()) == prepared.splits["train"].rows
    assert prepared.drift_reference is not None and len(prepared.drift_reference.columns) == 30
    assert {sum(column.counts) for column in prepared.drift_reference.columns} == {prepared.splits["train"].rows}
    assert f"-> {prepared.uri}" in said
    shard = prepared.splits["train"].shards[0]
    train = prepared.read(shard).to_pandas().drop(columns="__target__")
    assert np.allclose(train.mean(), 0, atol=0.2)


def test_the_same_inputs_are_prepared_once(tmp_path: Path) -> None:
    spec = _spec(tmp_path, "bundled:breast_cancer", "diagnosis")
    first, _ = _prepare(spec)
    changed = (Path(first.uri) / "manifest.json").stat().st_mtime_ns
    again, said = _prepare(spec)
    assert again == first and "already done" in said
    assert (Path(first.uri) / "manifest.json").stat().st_mtime_ns == changed


def test_the_model_and_the_store_play_no_part_but_seed_and_features_do(tmp_path: Path) -> None:
    def fingerprint(**more: Any) -> str:
        return _prepare(_spec(tmp_path, "bundled:breast_cancer", "diagnosis", **more))[0].fingerprint

    first = fingerprint()
    assert fingerprint(train={"epochs": 3}) == first
    assert fingerprint(store=str(tmp_path / "other")) == first
    assert fingerprint(data={"split": {"seed": 1}}) != first
    assert fingerprint(features={"ignore": ["mean_area"]}) != first


def test_a_dataset_of_an_older_format_is_prepared_anew_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _spec(tmp_path, "bundled:breast_cancer", "diagnosis")
    with monkeypatch.context() as older:
        for module in ("raymill.prepared", "jobs.prepare"):
            older.setattr(f"{module}.FORMAT", 1)
        old, _ = _prepare(spec)
    new, said = _prepare(spec)
    assert new.uri != old.uri and "already done" not in said
    assert Prepared.open(new.uri) == new


def test_a_column_that_one_cell_keeps_from_being_a_number_is_told(tmp_path: Path) -> None:
    numbers = [*map(str, np.random.default_rng(1).normal(size=ROWS)), "1.5 EUR"]
    few = [*(str(i % 30) for i in range(ROWS)), "6 EUR"]
    labels = ["no", "yes"] * (ROWS // 2) + ["no"]
    pacsv.write_csv(pa.table({"price": numbers, "size": few, "label": labels}), tmp_path / "t.csv")
    _, said = _prepare(_spec(tmp_path, str(tmp_path / "t.csv")))
    assert "WARNING: price is left out, though most of its cells are numbers: one holds '1.5 EUR'." in said
    assert "WARNING: size is a category, though most of its cells are numbers: one holds '6 EUR'." in said


def test_a_class_without_a_test_row_is_told_before_a_model_is_trained_that_the_gate_can_never_promote(
    tmp_path: Path,
) -> None:
    labels = ["rare"] * 3 + ["no", "yes"] * 100
    pq.write_table(pa.table({"x": list(range(203)), "label": labels}), tmp_path / "t.parquet")
    time = {"data": {"split": {"by": "time", "column": "x"}}}
    spec = _spec(tmp_path, str(tmp_path / "t.parquet"), **time)
    for _ in range(2):
        _, said = _prepare(spec)
        assert "WARNING: the test split has no row of class 'rare': without it roc_auc is undefined" in said
    _, said = _prepare(_spec(tmp_path, str(tmp_path / "t.parquet"), evaluate={"gate": {"metric": "f1_macro"}}, **time))
    assert "WARNING" not in said


@pytest.mark.usefixtures("small_pieces")
def test_the_bytes_do_not_depend_on_how_many_pieces_run_at_once(tmp_path: Path, csv_file: str) -> None:
    both, _ = _prepare(_spec(tmp_path / "both", csv_file))
    options = ray.data.DataContext.get_current().execution_options
    before = options.resource_limits
    options.resource_limits = ExecutionResources(cpu=0.5)
    try:
        one, _ = _prepare(_spec(tmp_path / "one", csv_file))
    finally:
        options.resource_limits = before
    assert len(one.splits["train"].shards) > 4
    assert _content(one.uri) == _content(both.uri)


@pytest.mark.usefixtures("small_pieces")
def test_what_a_dead_run_left_is_overwritten(tmp_path: Path, csv_file: str) -> None:
    first, _ = _prepare(_spec(tmp_path, csv_file))
    whole = _content(first.uri)
    (Path(first.uri) / "manifest.json").unlink()
    (Path(first.uri) / first.splits["train"].shards[0].path).write_bytes(b"half")
    again, _ = _prepare(_spec(tmp_path, csv_file))
    assert _content(again.uri) == whole


@pytest.mark.usefixtures("small_pieces")
def test_a_split_by_time_is_forward_over_all_pieces(tmp_path: Path, csv_file: str) -> None:
    prepared, _ = _prepare(_spec(tmp_path, csv_file, data={"split": {"by": "time", "column": "when"}}))
    raw = pa.concat_tables([prepared.read(shard) for shard in prepared.raw_test.shards])
    end = np.datetime64(prepared.split["cuts"]["validation_end"])
    assert raw["when"].cast(pa.timestamp("us")).to_numpy().min() > end
    assert abs(prepared.splits["test"].rows / ROWS - 0.1) < 0.01
    assert len(prepared.splits["test"].shards) > 1


@pytest.mark.usefixtures("small_pieces")
def test_groups_are_disjoint_and_neither_group_nor_key_is_a_feature(tmp_path: Path, csv_file: str) -> None:
    data = {"split": {"by": "group", "column": "group"}, "key": ["id"]}
    prepared, _ = _prepare(_spec(tmp_path, csv_file, data=data))
    assert not {"id", "group"} & prepared.schema.kinds.keys()
    raw = pa.concat_tables([prepared.read(shard) for shard in prepared.raw_test.shards])
    everything = pacsv.read_csv(csv_file).to_pandas()
    test_groups = {int(group) for group in raw["group"].to_pylist()}
    assert raw.num_rows == everything["group"].isin(test_groups).sum()


def test_csv_and_parquet_of_a_table_have_the_same_schema(tmp_path: Path, table: pa.Table, csv_file: str) -> None:
    pq.write_table(table, tmp_path / "t.parquet")
    from_csv, _ = _prepare(_spec(tmp_path, csv_file))
    from_parquet, _ = _prepare(_spec(tmp_path, str(tmp_path / "t.parquet")))
    assert from_csv.schema == from_parquet.schema


def test_rows_without_a_target_are_dropped_and_counted(tmp_path: Path, csv_file: str) -> None:
    prepared, said = _prepare(_spec(tmp_path, csv_file, target="city"))
    missing = pacsv.read_csv(csv_file)["city"].to_pylist().count("")
    assert prepared.rows_without_target == missing > 0
    assert sum(split.rows for split in prepared.splits.values()) == ROWS - missing
    assert f"{missing} without a target" in said


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"target": "lable"}, "no column 'lable', which task.target names.\nDid you mean 'label'"),
        ({"data": {"key": ["ident"]}}, "no column 'ident', which data.key names"),
        ({"data": {"split": {"by": "time", "column": "wen"}}}, "'wen', which data.split.column names"),
        ({"features": {"ignore": ["citi"]}}, "'citi', which features.ignore names"),
        ({"features": {"city": {"type": "number"}}}, r"Column 'city' is a number, but row \d+ of t\.csv .* "),
        (
            {"data": {"split": {"by": "time", "column": "city"}}},
            r"Column 'city' gives the time, but row \d+ of t\.csv ",
        ),
        ({"data": {"split": {"by": "group", "column": "one"}}}, "split has no rows: 2000 rows were read"),
        ({"target": "one"}, "one class"),
        ({"target": "nothing"}, "nothing', the target, has no value in any of 2000 rows"),
    ],
)
def test_what_the_data_can_not_give_is_a_data_error_that_leaves_no_dataset(
    tmp_path: Path, table: pa.Table, more: dict[str, Any], match: str
) -> None:
    wide = table.append_column("one", pa.array(["same"] * ROWS)).append_column("nothing", pa.nulls(ROWS, pa.string()))
    pacsv.write_csv(wide, tmp_path / "t.csv")
    with pytest.raises(DataError, match=match) as caught:
        _prepare(_spec(tmp_path, str(tmp_path / "t.csv"), **more))
    assert type(caught.value) in (DataError, CellError)
    assert _content(str(tmp_path / "store" / "datasets")) == {}


@pytest.mark.parametrize(
    ("more", "role"),
    [
        ({"data": {"key": ["nested"]}}, "data.key"),
        ({"data": {"split": {"by": "group", "column": "nested"}}}, "data.split.column"),
        ({"evaluate": {"slices": ["nested"]}}, "evaluate.slices"),
    ],
)
def test_a_nested_column_has_no_role(tmp_path: Path, table: pa.Table, more: dict[str, Any], role: str) -> None:
    pq.write_table(table.append_column("nested", pa.array([{"a": 1}] * ROWS)), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=f"{role} names the column 'nested', whose type struct<a: int64> "):
        _prepare(_spec(tmp_path, str(tmp_path / "t.parquet"), **more))


def test_a_typed_feature_that_a_cell_contradicts_is_named_by_its_row_in_its_file(tmp_path: Path) -> None:
    for name in ("1", "2"):
        cells = ["soon" if (name, i) == ("2", 599) else str(i) for i in range(600)]
        labels = ["no" if i % 2 else "yes" for i in range(600)]
        pacsv.write_csv(pa.table({"a": cells, "label": labels}), tmp_path / f"{name}.csv")
    spec = _spec(tmp_path, str(tmp_path / "*.csv"), features={"a": {"type": "number"}})
    with pytest.raises(DataError, match=r"Column 'a' is a number, but row 599 of 2\.csv .* holds 'soon'"):
        _prepare(spec)


def test_columns_in_names_of_folders_are_said_to_be_left_out(tmp_path: Path, table: pa.Table) -> None:
    for year in (2020, 2021):
        (tmp_path / "in" / f"year={year}").mkdir(parents=True)
        pq.write_table(table.slice(1_000 * (year - 2020), 1_000), tmp_path / "in" / f"year={year}" / "t.parquet")
    prepared, said = _prepare(_spec(tmp_path, str(tmp_path / "in")))
    assert "year" not in prepared.schema.kinds
    assert "left out year: it is in names of folders (year=...), which are not read" in said


def test_a_class_that_no_train_row_has_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'rare' if i == 99 else 'no' if i % 2 else 'yes'}\n" for i in range(100))
    (tmp_path / "t.csv").write_text("day,label\n" + rows)
    spec = _spec(tmp_path, str(tmp_path / "t.csv"), data={"split": {"by": "time", "column": "day"}})
    with pytest.raises(DataError, match=r"'label' has classes of.* 'rare' \(0 in validation, 1 in test\)"):
        _prepare(spec)
    assert _content(str(tmp_path / "store" / "datasets")) == {}


def test_a_split_that_equal_rows_leave_empty_says_so(tmp_path: Path) -> None:
    table = pa.table({"x": pa.nulls(300, pa.float64()), "label": ["no", "yes"] * 150})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"300 rows were read.*equal values of whole rows stay.* only 2 are distinct"):
        _prepare(_spec(tmp_path, str(tmp_path / "t.parquet")))


def test_a_source_that_changes_between_the_passes_is_refused(tmp_path: Path, csv_file: str) -> None:
    class Rewriting(Console):
        """Changes a cell of the file, and no count of rows, before the second pass."""

        def progress(self, label: str, total: int) -> Any:
            if "writing" in label:
                lines = Path(csv_file).read_text().splitlines(keepends=True)
                cells = lines[9].split(",")
                Path(csv_file).write_text("".join([*lines[:9], ",".join([cells[0], "7.5", *cells[2:]]), *lines[10:]]))
            return super().progress(label, total)

    spec = _spec(tmp_path, csv_file, data={"key": ["id"]})
    with pytest.raises(StoreError, match=r"changed while it was prepared: .* then .* with other content"):
        prepare(spec, Rewriting(io.StringIO()))


def test_a_source_that_changes_before_the_first_pass_is_refused(tmp_path: Path, csv_file: str) -> None:
    class Rewriting(Console):
        """Replaces the file when it has been listed."""

        def progress(self, label: str, total: int) -> Any:
            if "scanning" in label:
                Path(csv_file).write_text(Path(csv_file).read_text().replace("Oslo", "Bonn"))
            return super().progress(label, total)

    with pytest.raises(StoreError, match=r"changed while it was prepared: t\.csv is another file by now"):
        prepare(_spec(tmp_path, csv_file), Rewriting(io.StringIO()))
    assert not list((tmp_path / "store").rglob("manifest.json"))


def test_what_another_process_prepares_is_waited_for(tmp_path: Path, csv_file: str) -> None:
    spec, said = _spec(tmp_path, csv_file), io.StringIO()
    whole, _ = _prepare(spec)
    manifest = Path(whole.uri, "manifest.json")
    text = manifest.read_text()
    manifest.unlink()
    with ThreadPoolExecutor(1) as pool, lease(Store(whole.uri), "lease.json", "It"):
        waiting = pool.submit(prepare, spec, Console(said))
        while "prepare   waiting: The dataset" not in said.getvalue() and not waiting.done():
            time.sleep(0.05)
        manifest.write_text(text)
    assert waiting.result() == whole
    assert "already done" in said.getvalue() and not Store(whole.uri).exists("lease.json")


def test_notes_of_a_process_that_died_at_the_very_end_are_tidied(tmp_path: Path, csv_file: str) -> None:
    whole, _ = _prepare(_spec(tmp_path, csv_file))
    Store(whole.uri).write_json("done/0.json", {})
    again, _ = _prepare(_spec(tmp_path, csv_file))
    assert again == whole and not Store(whole.uri).exists("done")


def test_an_error_of_a_process_that_was_overtaken_deletes_nothing_of_the_others(tmp_path: Path, csv_file: str) -> None:
    class Overtaken(Console):
        """Another process takes the dataset over, and finishes it."""

        def progress(self, label: str, total: int) -> Any:
            if "writing" in label:
                store.write_json("train/theirs.json", {})
                theirs = encode_json({"id": "other", "host": "a-host", "pid": 7, "at": time.time()})
                while not store.swap("lease.json", store.peek("lease.json"), theirs):
                    pass
                while any(thread.name == "lease" for thread in threading.enumerate()):  # it ends when that is lost
                    time.sleep(0.02)
            return super().progress(label, total)

    spec = _spec(tmp_path, csv_file)
    whole, _ = _prepare(spec)
    store = Store(whole.uri)
    store.delete("manifest.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raymill.lease.RENEW_EVERY_S", 0.02)
        with pytest.raises(ResourceError, match="was taken over by process 7 on a-host"):
            prepare(spec, Overtaken(io.StringIO()))
    assert store.exists("train/theirs.json") and not store.exists("manifest.json")


@pytest.mark.usefixtures("small_pieces")
def test_a_dead_prepare_is_continued_with_the_pieces_that_it_had_written(tmp_path: Path, csv_file: str) -> None:
    class Dying(Console):
        """Dies when half of the pieces are written."""

        def progress(self, label: str, total: int) -> Any:
            return _Half(total) if "writing" in label else super().progress(label, total)

    whole, _ = _prepare(_spec(tmp_path / "whole", csv_file))
    spec = _spec(tmp_path, csv_file)
    with pytest.raises(KeyboardInterrupt):
        prepare(spec, Dying(io.StringIO()))
    (folder,) = (tmp_path / "store" / "datasets").iterdir()
    done = sorted(path.stem for path in (folder / "done").iterdir())
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet") if path.stem in done}
    assert len(done) >= 2 and kept
    again, _ = _prepare(spec)
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())
    assert _content(again.uri) == _content(whole.uri)


class _Half:
    """A progress bar that is interrupted in its middle."""

    def __init__(self, total: int) -> None:
        self._total = total

    def __enter__(self) -> _Half:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def reach(self, done: int, note: str = "") -> None:
        if done >= self._total // 2:
            raise KeyboardInterrupt
