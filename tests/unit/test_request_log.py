"""The request log keeps a stable share of the requests, whole, without what is private, in bounded memory."""

from __future__ import annotations

import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymill.errors import DataError
from raymill.schema import Column, Schema
from raymill.store import Store
from raymill.task import Task
from serving.answered import Answered
from serving.hourly_writer import Bounds
from serving.request_log import RequestLog, Sampler
from tests.unit.test_hourly_writer import NOON_S, FakeStore

SCHEMA = Schema(
    columns=(
        Column(name="a", kind="number"),
        Column(name="size", kind="category", native="exact"),
        Column(name="ok", kind="boolean"),
        Column(name="day", kind="timestamp"),
        Column(name="email", kind="category"),
    ),
    left_out=(("constant", "one constant value"),),
)
TASK = Task(kind="classification", target="y", classes=("no", "yes"))
ROW = {"a": 1, "size": 7.0, "ok": True, "day": "2026-11-26T12:00+01:00", "email": "ada@example.org"}


def _log(store: Any, sample: float = 1.0, private: tuple[str, ...] = (), bounds: Bounds | None = None) -> RequestLog:
    log = RequestLog(store, "demo", "r1", sample=sample, every_s=60, bounds=bounds, clock=lambda: NOON_S)
    log.learn("7", SCHEMA, TASK, private)
    return log


def _answered(rows: list[dict[str, Any]] | pa.Table, request_id: str = "i", version: str = "7") -> Answered:
    yes = np.linspace(0.25, 0.75, len(rows))
    return Answered(request_id, version, rows, np.stack([1 - yes, yes], axis=1), 0.002, NOON_S + 1.5)


def _written(log: RequestLog, store: Store) -> pa.Table:
    log.writer.turn(last=True)
    return pa.concat_tables([store.read_table(file.path) for file in store.files(recursive=True)])


def test_a_row_is_logged_with_its_request_its_answer_and_its_cells_in_their_types(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    log = _log(store)
    log.saw(_answered([ROW, {"email": None}], "first"))
    table = _written(log, store)
    first, second = table.to_pylist()
    assert first.pop("at").isoformat() == "2026-11-26T12:00:01.500000+00:00"
    assert first.pop("input_day").isoformat() == "2026-11-26T11:00:00"
    assert first == {
        "request_id": "first",
        "row": 0,
        "version": "7",
        "seconds": 0.002,
        "prediction": "no",
        "p_no": 0.75,
        "p_yes": 0.25,
        "input_a": 1.0,
        "input_size": "7",
        "input_ok": True,
        "input_email": "ada@example.org",
    }
    assert (second["row"], second["prediction"], second["input_a"], second["input_email"]) == (1, "yes", None, None)
    assert [file.path for file in store.files(recursive=True)] == [
        "endpoints/demo/requests/date=2026-11-26/hour=12/r1-20261126T120000Z-000000.parquet"
    ]


def test_json_rows_and_tables_are_logged_alike(tmp_path: Path) -> None:
    few, many = Store(str(tmp_path / "few")), Store(str(tmp_path / "many"))
    rows = [ROW | {"a": number} for number in range(5)]
    tables = []
    for store, sent in ((few, rows), (many, SCHEMA.table_from_rows(rows))):
        log = _log(store)
        log.saw(_answered(sent))
        tables.append(_written(log, store))
    assert tables[0].equals(tables[1])


def test_requests_of_few_and_of_many_rows_keep_their_own_answers(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    log = _log(store)
    for number in range(20):
        rows = [ROW | {"a": 100 * number + place} for place in range(1 + number % 4)]
        log.saw(_answered(SCHEMA.table_from_rows(rows) if number % 3 else rows, f"id{number}"))
    for row in _written(log, store).to_pylist():
        number = int(row["request_id"][2:])
        assert row["input_a"] == 100 * number + row["row"]
        assert row["p_yes"] == np.linspace(0.25, 0.75, 1 + number % 4)[row["row"]]


def test_versions_with_other_columns_and_tasks_are_logged_beside_each_other(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    log = _log(store)
    log.learn("8", Schema(columns=(Column(name="b", kind="number"),)), Task(kind="regression", target="y"), ())
    log.saw(_answered([ROW]))
    log.saw(Answered("i", "8", [{"b": 2.5}], np.array([4.5]), 0.1, NOON_S))
    log.writer.turn(last=True)
    seven, eight = (store.read_table(file.path) for file in store.files(recursive=True))
    assert seven["version"].to_pylist() == ["7"] and "input_b" not in seven.column_names
    assert eight.select(["version", "prediction", "input_b"]).to_pylist() == [
        {"version": "8", "prediction": 4.5, "input_b": 2.5}
    ]


@pytest.mark.parametrize("as_table", [False, True])
def test_what_is_private_is_in_no_byte_of_a_file(tmp_path: Path, as_table: bool) -> None:
    store = Store(str(tmp_path))
    log = _log(store, private=("email",))
    rows = [ROW | {"size": "seen-by-all"}]
    log.saw(_answered(SCHEMA.table_from_rows(rows) if as_table else rows))
    table = _written(log, store)
    assert "input_email" not in table.column_names
    (file,) = store.files(recursive=True)
    kept = pa.BufferOutputStream()
    with pa.ipc.new_stream(kept, table.schema) as stream:
        stream.write_table(table)
    for data in (store.read_bytes(file.path), kept.getvalue().to_pybytes()):
        assert b"email" not in data and b"ada@" not in data
        assert b"input_size" in data
    assert b"seen-by-all" in kept.getvalue().to_pybytes()


def test_all_columns_may_be_private(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    log = _log(store, private=tuple(SCHEMA.kinds))
    log.saw(_answered([ROW]))
    assert not [name for name in _written(log, store).column_names if name.startswith("input_")]


def test_a_private_column_that_a_version_does_not_know_is_refused_lest_another_is_meant() -> None:
    log = _log(FakeStore())
    with pytest.raises(DataError) as caught:
        log.learn("8", SCHEMA, TASK, ["emial"])
    assert "'emial'" in caught.value.what and "version 8" in caught.value.what
    assert "'email'" in caught.value.fix and "serve.log.sample=0" in caught.value.fix
    log.learn("8", SCHEMA, TASK, ["constant", "email"])


def test_a_version_that_was_not_learnt_raises_nothing_in_a_request_and_is_counted() -> None:
    log = _log(FakeStore())
    log.saw(_answered([ROW, ROW], version="9"))
    assert log.writer.counts.dropped_rows == 2 and log.writer.held == (0, 0)


@given(st.text(max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_the_share_of_an_id_is_a_function_of_the_id_and_a_larger_share_takes_all_of_a_smaller(
    request_id: str, one: float, other: float
) -> None:
    small, large = Sampler(min(one, other)), Sampler(max(one, other))
    assert Sampler(min(one, other)).takes(request_id) == small.takes(request_id) <= large.takes(request_id)
    assert Sampler(1.0).takes(request_id) and not Sampler(0.0).takes(request_id)


def test_the_share_is_the_one_that_was_asked_for_and_fixed_for_ever() -> None:
    ids = [f"{number:032x}" for number in range(20_000)]
    taken = [request_id for request_id in ids if Sampler(0.1).takes(request_id)]
    assert 1_850 < len(taken) < 2_150  # 3.5 standard deviations
    assert [int(request_id, 16) for request_id in taken[:5]] == [11, 21, 22, 31, 45]


def test_requests_are_taken_whole(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    log = _log(store, sample=0.3)
    for number in range(300):
        log.saw(_answered([ROW] * 3, f"id{number}"))
        log.saw(_answered([ROW], f"id{number}"))
    table = _written(log, store)
    assert set(table.group_by("request_id").aggregate([("row", "count")])["row_count"].to_pylist()) == {4}
    assert 0 < table.num_rows < 4 * 300


def test_an_id_that_is_no_unicode_keeps_no_others_from_being_written(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    log = _log(store)
    for request_id in ("good", "\ud800"):
        log.saw(_answered([ROW], request_id))
    assert _written(log, store)["request_id"].to_pylist() == ["good", "?"]


def test_scores_that_are_a_part_of_a_batch_do_not_hold_all_of_it() -> None:
    log = _log(FakeStore())
    batch = np.full((10_000, 2), 0.5)
    held = weakref.ref(batch)
    log.saw(Answered("i", "7", [ROW], batch[:1], 0.1, NOON_S))
    del batch
    assert held() is None and log.writer.held[0] == 1


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("as_table", [False, True])
def test_memory_does_not_grow_beyond_the_bound_while_the_store_is_down(as_table: bool, wide: bool) -> None:
    bounds = Bounds(rows=10**6, size_bytes=2 * 1024 * 1024)
    log = _log(FakeStore(away=True), bounds=bounds)
    tracemalloc.start()
    arrow_before, seen = pa.total_allocated_bytes(), 0
    try:
        for number in range(900 if as_table else 3_000):
            rows = [{"a": float(number), "email": f"{'ü' * 500 if wide else 'u'}{number}"}]
            log.saw(_answered(SCHEMA.table_from_rows(rows) if as_table else rows, f"id{number}"))
            seen += 1
            if number % 300 == 299:
                log.writer.turn()
        held = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() - arrow_before
    finally:
        tracemalloc.stop()
    assert log.writer.held[1] <= bounds.size_bytes
    assert held < 1.25 * bounds.size_bytes
    assert log.writer.counts.dropped_rows + log.writer.held[0] == seen
    assert log.writer.counts.dropped_rows > 0 or not wide
