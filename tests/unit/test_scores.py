"""A score shard has the agreed columns and gives back what was put in."""

from __future__ import annotations

import numpy as np
import pytest

from raymill.scores import score_table, scores_in


@pytest.mark.parametrize("classes", [2, 12])
def test_probabilities_have_a_column_per_class_in_index_order(classes: int) -> None:
    target = np.arange(5) % classes
    scores = np.random.default_rng(0).random((5, classes))
    table = score_table(target, scores)
    assert table.column_names == ["target", *(f"p{i}" for i in range(classes))]
    back_target, back_scores = scores_in(table.append_column("key", table["target"]))
    assert back_target.dtype == np.int64
    np.testing.assert_array_equal(back_target, target)
    np.testing.assert_array_equal(back_scores, scores)


def test_values_have_one_score() -> None:
    table = score_table(np.array([1.5, 2.5]), np.array([1.0, 3.0]))
    assert table.column_names == ["target", "score"]
    target, scores = scores_in(table)
    np.testing.assert_array_equal(target, [1.5, 2.5])
    np.testing.assert_array_equal(scores, [1.0, 3.0])
