"""The join of what was answered and what turned out true agrees with one written in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymill.endpoint_log import feedback_folder, feedback_table, request_table, requests_folder
from raymill.errors import DataError
from raymill.hourly import hour_at, hour_folder
from raymill.labelled import labelled
from raymill.store import Store
from raymill.task import Task

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
CLASSES = Task(kind="classification", target="y", classes=("no", "yes"))
NUMBERS = Task(kind="regression", target="y")
DAY = (NOON - timedelta(hours=12), NOON + timedelta(hours=12))
Answer = tuple[str, int, str, float]  # id, rows, version, minutes after noon; its last row is a yes
Label = tuple[str, int, str, float]  # id, row, label, minutes after noon


def _at_s(minutes: float) -> float:
    return NOON.timestamp() + 60 * minutes


def _place(folder: str, minutes: float, name: str) -> str:
    return f"{folder}/{hour_folder(hour_at(_at_s(minutes)))}/{name}.parquet"


def _answer(store: Store, name: str, answer: Answer, task: Task = CLASSES) -> None:
    request_id, rows, version, minutes = answer
    yes = np.arange(1, rows + 1) == rows
    scores = np.stack([1 - yes, yes], axis=1).astype(float) if task is CLASSES else yes.astype(float)
    requests = pa.table({"request_id": [request_id], "seconds": [0.1], "at": [_at_s(minutes)]})
    inputs = pa.table({"a": np.zeros(rows)})
    table = request_table(task, version, inputs, scores, requests, np.array([rows]))
    store.write_table(_place(requests_folder("demo"), minutes, name), table)


def _label(store: Store, name: str, labels: Sequence[Label]) -> None:
    for number, (request_id, row, label, minutes) in enumerate(labels):
        table = feedback_table(pa.array([request_id]), pa.array([row]), pa.array([label]), _at_s(minutes))
        store.write_table(_place(feedback_folder("demo"), minutes, f"{name}-{number}"), table)


def test_each_row_that_has_a_label_is_there_with_its_prediction(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    _answer(store, "a", ("one", 2, "7", 0))
    _answer(store, "b", ("two", 1, "7", 1))
    _label(store, "a", [("one", 1, "no", 90), ("two", 0, "yes", 5), ("never", 0, "yes", 5), ("one", 7, "no", 5)])
    assert labelled(store, "demo", *DAY, now=DAY[1]).to_pylist() == [
        {"request_id": "one", "row": 1, "version": "7", "prediction": "yes", "label": "no"},
        {"request_id": "two", "row": 0, "version": "7", "prediction": "yes", "label": "yes"},
    ]


def test_the_last_label_and_a_versions_last_answer_count_and_versions_stand_beside_each_other(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    _answer(store, "z", ("one", 2, "7", 0))
    _answer(store, "a", ("one", 1, "7", 3))
    _answer(store, "b", ("one", 2, "8", 1))
    _label(store, "z", [("one", 0, "no", 100)])
    _label(store, "a", [("one", 0, "yes", 130), ("one", 0, "no", 110)])
    assert [tuple(row.values()) for row in labelled(store, "demo", *DAY, now=DAY[1]).to_pylist()] == [
        ("one", 0, "7", "yes", "yes"),
        ("one", 0, "8", "no", "yes"),
    ]


def test_numbers_are_joined_as_numbers(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    _answer(store, "a", ("one", 1, "7", 0), NUMBERS)
    labels = feedback_table(pa.array(["one"]), pa.array([0]), pa.array([2.5]), _at_s(1))
    store.write_table(_place(feedback_folder("demo"), 1, "a"), labels)
    (row,) = labelled(store, "demo", *DAY, now=DAY[1]).to_pylist()
    assert (row["prediction"], row["label"]) == (1.0, 2.5)


def test_only_answers_of_the_asked_time_count_and_labels_until_now(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for minutes in (-1, 0, 59.9, 60):
        _answer(store, f"{minutes}", (f"{minutes}", 1, "7", minutes))
        _label(store, f"{minutes}", [(f"{minutes}", 0, "no", 300)])
    since, until = NOON, NOON + timedelta(hours=1)
    found = labelled(store, "demo", since, until, now=NOON + timedelta(hours=6))
    assert found["request_id"].to_pylist() == ["0", "59.9"]
    assert labelled(store, "demo", since, until, now=NOON + timedelta(hours=4)).num_rows == 0


def test_a_log_without_answers_or_labels_has_no_rows_and_the_same_columns(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    columns = ["request_id", "row", "version", "prediction", "label"]
    assert labelled(store, "demo", *DAY).column_names == columns
    _answer(store, "a", ("one", 1, "7", 0))
    found = labelled(store, "demo", *DAY)
    assert (found.num_rows, found.column_names, found["label"].type) == (0, columns, pa.string())


def test_a_log_of_two_tasks_is_refused_with_what_to_do(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    _answer(store, "a", ("one", 1, "7", 0), NUMBERS)
    _label(store, "a", [("one", 0, "no", 1)])
    with pytest.raises(DataError) as caught:
        labelled(store, "demo", *DAY, now=DAY[1])
    assert "two tasks" in caught.value.what and "after the task was changed" in caught.value.fix


IDS, ROWS = st.sampled_from("abc"), st.integers(0, 2)
MINUTES = st.lists(st.integers(0, 150), unique=True, min_size=12, max_size=12)
ANSWERS = st.lists(st.tuples(IDS, st.integers(1, 3), st.sampled_from("78")), max_size=6)
LABELS = st.lists(st.tuples(IDS, ROWS, st.sampled_from(["no", "yes"])), max_size=6)


@settings(max_examples=40)
@given(ANSWERS, LABELS, MINUTES)
def test_the_join_is_the_one_in_plain_python(
    answers: list[tuple[str, int, str]], labels: list[tuple[str, int, str]], minutes: list[int]
) -> None:
    expected: dict[tuple[str, int, str], str] = {}
    with TemporaryDirectory() as folder:
        store = Store(folder)
        for number, (answer, minute) in enumerate(zip(answers, minutes, strict=False)):
            _answer(store, f"r{number}", (*answer, minute))
        told = [(*label, minute) for label, minute in zip(labels, reversed(minutes), strict=False)]
        _label(store, "l", told)
        found = labelled(store, "demo", *DAY, now=DAY[1])
    for (request_id, rows, version), _ in sorted(zip(answers, minutes, strict=False), key=lambda pair: pair[1]):
        for row in range(rows):
            expected[request_id, row, version] = "yes" if row == rows - 1 else "no"
    last = {(request_id, row): label for request_id, row, label, _ in sorted(told, key=lambda each: each[3])}
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        (*key, expected[key], last[key[:2]]) for key in sorted(expected) if key[:2] in last
    ]
