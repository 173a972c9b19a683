from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymill.glimpse import Glimpse, examples, is_all_different, is_id_name, is_row_number, short
from raymill.source import Source
from raymill.statistics import ColumnSummary, TableSummary


def glimpse(columns: dict[str, Any]) -> Glimpse:
    """A glimpse of a whole small table."""
    table = pa.table(columns)
    summary = TableSummary.of(table, np.ones(table.num_rows, bool))
    return Glimpse(summary=summary, total_rows=table.num_rows)


def _column(values: Any) -> ColumnSummary:
    return glimpse({"c": values}).summary.columns["c"]


def test_a_small_csv_is_seen_whole(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,x\n" * 100)
    seen = Glimpse.of(Source.open(str(tmp_path / "t.csv")))
    assert (seen.summary.rows, seen.total_rows, seen.whole, seen.seen) == (100, 100, True, "all 100 rows")


def test_of_a_big_csv_only_the_start_is_read_and_the_rows_are_estimated(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + '1,"x\ny"\n' * 10_000)
    seen = Glimpse.of(Source.open(str(tmp_path / "t.csv")), look_bytes=8_000)
    assert seen.summary.rows == 1_000 and not seen.whole
    assert abs(seen.total_rows - 10_000) < 10
    assert seen.seen.startswith("the first 1,000 of about ")


def test_a_big_csv_whose_quotes_are_broken_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n1,5" nail\n' + "1,x\n" * 1_000)
    assert Glimpse.of(Source.open(str(tmp_path / "t.csv")), look_bytes=500).whole


def test_of_many_files_the_first_ones_are_read(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.csv").write_text("a,b\n" + "1,x\n" * 99)
    seen = Glimpse.of(Source.open(str(tmp_path)), look_bytes=1_000)
    assert (seen.summary.rows, seen.total_rows) == (198, 990)


def test_of_many_compressed_files_the_first_are_read(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,x\n" * 99, mtime=0))
    seen = Glimpse.of(Source.open(str(tmp_path)), look_bytes=1)
    assert (seen.summary.rows, seen.total_rows) == (99, 396)


def test_the_rows_of_parquet_are_known_and_files_without_rows_passed_over(tmp_path: Path) -> None:
    table = pa.table({"a": np.arange(5_000), "b": ["x"] * 5_000})
    pq.write_table(table.slice(0, 0), tmp_path / "0.parquet")
    pq.write_table(table, tmp_path / "1.parquet")
    pq.write_table(table, tmp_path / "2.parquet")
    seen = Glimpse.of(Source.open(str(tmp_path)), look_bytes=1)
    assert (seen.summary.rows, seen.total_rows) == (5_000, 10_000)


@pytest.mark.parametrize("name", ["id", "ID", "customer_id", "customerId", "PassengerId", "Unnamed: 0", "user-uuid"])
def test_ids_are_known_by_their_names(name: str) -> None:
    assert is_id_name(name)


@pytest.mark.parametrize("name", ["paid", "humid", "monkey", "valid", "index of hope", "grid", "indexed"])
def test_words_that_end_like_ids_are_no_ids(name: str) -> None:
    assert not is_id_name(name)


def test_columns_that_are_different_in_every_row_are_recognised() -> None:
    assert is_all_different(_column([str(i) for i in range(20)]))
    assert not is_all_different(_column([str(i) for i in range(19)]))
    assert not is_all_different(_column(["0", *(str(i) for i in range(19))]))
    assert not is_all_different(_column([None, *(str(i) for i in range(20))]))
    assert is_all_different(_column([f"row {i}" for i in range(30_000)]))
    assert not is_all_different(_column([f"row {i % 25_000}" for i in range(30_000)]))


def test_row_numbers_count_from_nought_or_one() -> None:
    assert is_row_number(_column(list(range(30)))) and is_row_number(_column([str(i) for i in range(1, 31)]))
    assert not is_row_number(_column(list(range(1990, 2020))))
    assert not is_row_number(_column([i * 2 for i in range(30)]))


def test_examples_are_one_short_line() -> None:
    columns = glimpse(
        {
            "n": [1.0, 2.5, 1e7],
            "c": ["a\nb", "c" * 100, "a\nb"],
            "t": ["2024-01-01", "2024-01-02T10:30:00", None],
            "b": [True, False, None],
        }
    ).summary.columns
    statistics = [columns[name].statistics(kind) for name, kind in zip("ntbc", KINDS, strict=True)]
    shown = [examples(each) for each in statistics if each is not None]
    assert shown == ["1 to 1e+07", "2024-01-01 to 2024-01-02 10:30:00", "true in 50.0%", f"a b, {'c' * 23}…"]
    assert short("a\u2028b") == "a b"


KINDS = ("number", "timestamp", "boolean", "category")
