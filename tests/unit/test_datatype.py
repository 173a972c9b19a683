"""What a cell of each datatype may be, and that values and raw cells are read alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tritonclient.utils import triton_to_np_dtype

from serving.datatype import datatype

WHOLE = ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]


@pytest.mark.parametrize("name", [*WHOLE, "FP32", "FP64", "BOOL"])
def test_values_and_raw_cells_are_the_same_cells(name: str) -> None:
    cells = np.array([0, 1, 100], triton_to_np_dtype(name))
    by_value = datatype(name).of_cells(cells.tolist())
    by_bytes = datatype(name).of_raw(memoryview(b"." + cells.tobytes())[1:], 3)
    assert by_value.equals(by_bytes)
    assert by_value.to_pylist() == cells.tolist()


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_keep_to_their_range(name: str) -> None:
    bounds = np.iinfo(triton_to_np_dtype(name))
    assert datatype(name).of_cells([bounds.min, None, bounds.max]).to_pylist() == [bounds.min, None, bounds.max]
    for beyond in (int(bounds.min) - 1, int(bounds.max) + 1, 10**400):
        with pytest.raises(ValueError, match=f"a cell is no {name}"):
            datatype(name).of_cells([beyond])


@pytest.mark.parametrize(
    ("name", "cells", "found"),
    [
        ("FP64", [2**60 + 1, None], [float(2**60), None]),
        ("FP32", [2**24 + 1, 0.1], [float(2**24), float(np.float32(0.1))]),
        ("BYTES", ["ä", b"\xc3\xa4", None], ["ä", "ä", None]),
    ],
)
def test_a_cell_is_the_nearest_that_its_datatype_has(name: str, cells: list[Any], found: list[Any]) -> None:
    read = datatype(name).of_cells(cells)
    assert [None if cell != cell else cell for cell in read.to_pylist()] == found


@pytest.mark.parametrize(
    ("name", "cell", "said"),
    [
        ("FP64", True, "True is no FP64"),
        ("FP64", "1", "'1' is no FP64"),
        ("FP64", 10**400, "a cell is no FP64"),
        ("INT64", 1.0, "1.0 is no INT64"),
        ("BOOL", 1, "1 is no BOOL"),
        ("BYTES", 1, "1 is no BYTES"),
        ("BYTES", "\ud800", "a cell is no BYTES"),
        ("BYTES", b"\xff", "a cell is no BYTES"),
        ("BYTES", ["x"], "an array is no BYTES"),
        ("FP64", {"a": 1}, "an object is no FP64"),
        ("FP64", "x" * 100, "'x{79}... is no FP64"),
    ],
)
def test_any_other_cell_is_refused_and_shown(name: str, cell: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        datatype(name).of_cells([cell])


def test_an_array_that_is_as_deep_as_can_be_read_is_shown_too() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(ValueError, match="an array is no FP64"):
        datatype("FP64").of_cells([deep])


def test_infinity_and_nan_arrive_as_they_are() -> None:
    raw = np.array([np.inf, np.nan]).tobytes()
    cells = datatype("FP64").of_raw(memoryview(raw), 2)
    assert isinstance(cells, pa.Array)
    assert np.isinf(cells[0].as_py()) and np.isnan(cells[1].as_py())


def test_a_datatype_that_is_not_served_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"'BF16' is none of BOOL, INT8, .*, FP32, FP64, BYTES"):
        datatype("BF16")
