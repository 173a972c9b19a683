"""The watch takes a share of what is asked and says what differs, whatever form the rows have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raymill.drift import Drifted, Steady
from serving import drift_watch
from serving.drift_watch import DriftWatch
from serving.model import load_model
from tests.mixed_bundles import MODELS, raw_rows, write

COLUMNS = ("size", "weight", "colour", "town", "sold", "at")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return write(tmp_path_factory.mktemp("bundle"), MODELS[0], "two")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watch(bundle: Any, said: list[str], monkeypatch: pytest.MonkeyPatch) -> DriftWatch:
    """One that has room for a hundred rows in each turn."""
    monkeypatch.setattr(drift_watch, "_ROWS_PER_TURN", 100)
    monkeypatch.setattr(drift_watch, "_MOST_ROWS", 100)
    model = load_model(bundle.uri, bundle.digest)
    assert model.drift is not None
    return DriftWatch(model.predictor.schema, model.drift, said.append)


def _rows(**changes: Any) -> list[dict[str, Any]]:
    """The train rows in any order, as JSON has them."""
    table = raw_rows().select(COLUMNS)
    rows = table.take(np.random.default_rng(1).permutation(table.num_rows)).to_pylist()
    return [row | {"at": row["at"].isoformat()} | changes for row in rows]


def _ask(watch: DriftWatch, rows: list[dict[str, Any]], turns: int, as_table: bool = False) -> None:
    for turn in range(turns):
        part = [rows[(turn * 100 + index) % len(rows)] for index in range(100)]
        watch.saw(pa.Table.from_pylist(part) if as_table else part)
        watch.turn()


@pytest.mark.parametrize("as_table", [False, True])
def test_a_look_is_each_thousand_rows_and_knows_the_newest_ten_thousand(watch: DriftWatch, as_table: bool) -> None:
    _ask(watch, _rows(), 9, as_table)
    assert watch.found is None
    _ask(watch, _rows(), 1, as_table)
    assert isinstance(watch.found, Steady) and watch.found.rows == 1_000
    _ask(watch, _rows(), 140, as_table)
    assert isinstance(watch.found, Steady) and watch.found.rows == 10_000


def test_what_has_changed_is_named_once_and_so_is_its_end(watch: DriftWatch, said: list[str]) -> None:
    _ask(watch, _rows(), 10)
    _ask(watch, _rows(size=1000.0), 60)
    assert isinstance(watch.found, Drifted)
    assert [column.name for column in watch.found.drifting] == ["size"]
    _ask(watch, _rows(), 100)
    assert isinstance(watch.found, Steady)
    assert [text.split(";")[0] for text in said] == ["1 of 6 columns drift", "no column drifts any more"]
    assert "'size'" in said[0] and "at least" in said[0]


def test_a_turn_has_room_for_a_hundred_rows_from_all_parts_of_a_request(
    watch: DriftWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[pa.Table] = []
    monkeypatch.setattr(watch._bins, "count", lambda table: counted.append(table) or np.zeros_like(watch._bins.train))
    watch.saw([{"weight": index} for index in range(10)])
    watch.saw([{"weight": index} for index in range(9_000)])
    watch.saw(pa.table({name: pa.nulls(1_000, pa.string()) for name in COLUMNS}))
    watch.turn()
    watch.turn()
    assert [table.num_rows for table in counted] == [100]
    assert [weight // 100 for weight in counted[0]["weight"].to_pylist()[10:]] == list(range(90))


def test_room_that_was_not_used_is_kept_for_a_large_request(bundle: Any, said: list[str]) -> None:
    model = load_model(bundle.uri, bundle.digest)
    assert model.drift is not None
    watch = DriftWatch(model.predictor.schema, model.drift, said.append)
    watch.saw(_rows() * 100)
    watch.turn()
    assert isinstance(watch.found, Steady) and watch.found.rows == 1_000
    for _ in range(3):
        watch.saw(_rows())
        assert sum(map(len, watch._waiting)) <= 10
        watch.turn()
    for _ in range(1_000):
        watch.turn()
    watch.saw(_rows() * 2)
    assert sum(map(len, watch._waiting)) == 1_000


def test_memory_is_bounded_by_bytes_too(watch: DriftWatch) -> None:
    for _ in range(100):
        watch.saw([{"town": "x" * 1_000_000}])
    assert len(watch._waiting) < 5
    table = pa.table({name: [None] for name in COLUMNS if name != "town"} | {"town": ["x" * 1_000_000] * 1})
    for _ in range(100):
        watch.saw(table)
    assert len(watch._waiting) < 20


def test_a_part_of_a_large_table_holds_no_more_than_itself(watch: DriftWatch) -> None:
    part = watch._drawn(pa.table({"x": np.zeros(1_000_000)}), 100)
    assert isinstance(part, pa.Table) and part.num_rows == 100 and part.get_total_buffer_size() < 10_000


def test_rows_that_can_not_be_counted_end_no_watch_and_none_of_their_cells_is_said(
    watch: DriftWatch, said: list[str]
) -> None:
    for _ in range(2):
        watch.saw([{"weight": "secret"}])
        watch.turn()
    assert said == ["rows can't be counted for drift, by a RowsError; this is said once"]
    _ask(watch, _rows(), 10)
    assert isinstance(watch.found, Steady)
