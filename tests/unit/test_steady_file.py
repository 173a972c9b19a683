"""A steady file: pyarrow reads it as its own, and a read that failed is made again at the same place."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from raymill.steady_file import SteadyFile
from raymill.store import encode_table

TABLE = pa.table({"a": list(range(1000)), "b": [str(i) for i in range(1000)]})


def steady(data: bytes, failures: list[int]) -> pa.PythonFile:
    """A file of which each read fails once before it succeeds; `failures` counts them."""

    def twice(read: Callable[[], bytes]) -> bytes:
        read()
        failures.append(1)
        return read()

    return pa.PythonFile(SteadyFile(pa.BufferReader(data), twice), mode="r")


def test_parquet_and_csv_are_read_as_from_a_file() -> None:
    failures: list[int] = []
    assert pq.read_table(steady(encode_table(TABLE), failures)).equals(TABLE)
    lines = "a,b\n" + "".join(f"{i},x{i}\n" for i in range(1000))
    assert pacsv.read_csv(steady(lines.encode(), failures)).num_rows == 1000
    assert failures


def test_it_is_read_at_any_place_and_ends_where_its_bytes_do() -> None:
    file = steady(b"0123456789", [])
    assert (file.size(), file.seek(4), file.read(3), file.tell()) == (10, 4, b"456", 7)
    assert (file.read(99), file.read(1), file.seek(-2, 2), file.read()) == (b"789", b"", 8, b"89")
