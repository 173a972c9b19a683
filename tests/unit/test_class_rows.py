"""A class that no train row has is named with its rows before anything is written."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raymill.class_rows import ClassRows
from raymill.errors import DataError


def counted(labels: list[str], splits: list[int]) -> ClassRows:
    return ClassRows.of(pa.array(labels, pa.string()), np.array(splits, np.int8))


def test_rows_are_counted_by_label_and_split_over_pieces() -> None:
    merged = counted(["a", "b", "a"], [0, 2, 0]).merge(counted(["b", "c"], [2, 1])).merge(counted([], []))
    assert merged.rows == {"a": (2, 0, 0), "b": (0, 0, 2), "c": (0, 1, 0)}


def test_classes_that_miss_train_are_named_with_their_rows() -> None:
    with pytest.raises(DataError) as caught:
        counted(["a", "b", "b", "c"], [0, 1, 2, 2]).require_in_train("kind")
    assert caught.value.what == (
        "The target 'kind' has classes of which no row is in the train split: "
        "'b' (1 in validation, 1 in test), 'c' (0 in validation, 1 in test)."
    )
    assert caught.value.fix.startswith("Give them more rows, drop their rows or merge them")


def test_of_many_such_classes_five_are_named() -> None:
    with pytest.raises(DataError, match=r"'e' \(0 in validation, 1 in test\) and 3 more\."):
        counted(list("abcdefgh"), [2] * 8).require_in_train("kind")


def test_classes_that_are_all_in_train_are_fine() -> None:
    counted(["a", "b", "b"], [0, 0, 2]).require_in_train("kind")


def test_what_has_too_many_labels_is_not_counted() -> None:
    many = counted([str(i) for i in range(1_001)], [2] * 1_001)
    assert many.rows is None and many.merge(counted(["a"], [2])).rows is None
    halves = [counted([str(i) for i in range(start, start + 600)], [2] * 600) for start in (0, 600)]
    assert halves[0].merge(halves[1]).rows is None
    many.require_in_train("kind")
