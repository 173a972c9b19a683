from __future__ import annotations

from typing import Any

import pytest

from raymill.errors import DataError
from raymill.first_target import choose_target
from raymill.glimpse import Glimpse
from tests.unit.test_glimpse import glimpse

N = 40
CLASSES = ["a", "b"] * 20
NUMBERS = [i * 1.5 for i in range(N)]


def _chosen(columns: dict[str, Any]) -> tuple[str, str]:
    chosen = choose_target(glimpse(columns), None)
    return chosen.task.column, chosen.task.type


def test_a_usual_name_is_chosen_before_the_last_column() -> None:
    assert _chosen({" Label ": CLASSES, "x": NUMBERS}) == (" Label ", "classification")
    assert _chosen({"y": CLASSES, "TARGET": NUMBERS, "x": NUMBERS}) == ("TARGET", "regression")


def test_else_it_is_the_last_column_that_can_be_learnt() -> None:
    assert _chosen({"x": NUMBERS, "price": NUMBERS}) == ("price", "regression")
    useless = {
        "same": [1] * N,
        "when": [f"2024-01-{1 + i % 28:02d}" for i in range(N)],
        "id": list(range(N)),
        "text": [f"t{i}" for i in range(N)],
        "none": [None] * N,
        "nested": [[1]] * N,
        "target": ["only"] * N,
    }
    assert _chosen({"x": NUMBERS, "sold": CLASSES, **useless}) == ("sold", "classification")


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (CLASSES, "classification"),
        ([True, False] * 20, "classification"),
        (["0", "1"] * 20, "classification"),
        ([i % 20 for i in range(N)], "classification"),
        ([i % 21 for i in range(2 * N)], "regression"),
        ([0.5, 1.5] * 20, "regression"),
        ([1, 2, 3, 4, 5], "regression"),
    ],
)
def test_the_task_fits_the_cells(cells: list[Any], kind: str) -> None:
    assert _chosen({"x": cells, "target": cells}) == ("target", kind)


def test_a_target_that_is_asked_for_is_taken_or_refused_for_what_all_rows_say() -> None:
    seen = glimpse({"same": ["a"] * N, "x": NUMBERS, "y": CLASSES})
    assert choose_target(seen, "x").task.column == "x"
    with pytest.raises(DataError, match="one class"):
        choose_target(seen, "same")
    with pytest.raises(DataError, match="Did you mean 'same'"):
        choose_target(seen, "sane")


def test_of_a_table_seen_in_part_a_refusal_is_only_a_doubt() -> None:
    seen = glimpse({"same": ["a"] * N, "x": NUMBERS})
    chosen = choose_target(Glimpse(summary=seen.summary, total_rows=2 * N), "same")
    assert chosen.task.column == "same" and "one class" in str(chosen.doubt)


def test_a_table_without_anything_to_learn_asks_for_a_target() -> None:
    with pytest.raises(DataError, match="looks like a target"):
        choose_target(glimpse({"id": list(range(N)), "same": [1] * N}), None)
