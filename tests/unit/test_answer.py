from __future__ import annotations

import json

import numpy as np
import pytest

from raymill.errors import InternalError
from raymill.task import Task
from serving.answer import AnswerEncoder


def test_probabilities_read_back_as_the_same_numbers_under_any_label() -> None:
    labels = ('say "no"', "100%", "né\n")
    scores = np.random.default_rng(0).dirichlet([1, 1, 1], size=50)
    answers = json.loads(AnswerEncoder(Task(kind="classification", target="y", classes=labels)).encode(scores))
    assert [[answer["probabilities"][label] for label in labels] for answer in answers] == scores.tolist()
    assert [answer["prediction"] for answer in answers] == [labels[index] for index in scores.argmax(axis=1)]


def test_values_of_any_size_read_back_as_the_same_numbers() -> None:
    values = np.array([1e-7, 5e-324, -0.0, 1e300, 0.1 + 0.2, 123456789012345680000.0])
    answers = json.loads(AnswerEncoder(Task(kind="regression", target="y")).encode(values))
    assert [answer["prediction"] for answer in answers] == values.tolist()


def test_a_score_that_is_no_number_is_never_written() -> None:
    with pytest.raises(InternalError):
        AnswerEncoder(Task(kind="regression", target="y")).encode(np.array([1.0, np.nan]))
