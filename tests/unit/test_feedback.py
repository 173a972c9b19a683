"""Labels are taken strictly, in the task's own terms, and never more of them than may wait."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from raymill.schema import Schema
from raymill.store import Store
from raymill.task import Task
from serving.body import MOST_BYTES
from serving.feedback import MOST_LABELS, Feedback, labels_of
from serving.openapi import openapi
from serving.refusal import Refusal
from tests.unit.test_hourly_writer import NOON_S, FakeStore

COLOURS = Task(kind="classification", target="y", classes=("blue", "red"))
GRADES = Task(kind="classification", target="y", classes=("1", "2", "10"))
TRUTHS = Task(kind="classification", target="y", classes=("false", "true"))
LATE = Task(kind="classification", target="delay", at_least=30, classes=("False", "True"))
PRICE = Task(kind="regression", target="y")
TASKS = (COLOURS, GRADES, TRUTHS, LATE, PRICE)


def _labels(task: Task, *labels: Any) -> list[Any]:
    body = json.dumps({"feedback": [{"request_id": "i", "label": label} for label in labels]})
    found: list[Any] = labels_of(body.encode(), task, NOON_S)["label"].to_pylist()
    return found


def _refused(body: Any, task: Task = COLOURS) -> Refusal:
    with pytest.raises(Refusal) as caught:
        labels_of(body if isinstance(body, bytes) else json.dumps(body).encode(), task, NOON_S)
    return caught.value


def _take(feedback: Feedback, body: bytes, *headers: tuple[bytes, bytes]) -> Response:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": b""}
    return asyncio.run(feedback.take(Request(scope, receive), "req"))


def test_one_object_and_many_are_taken_and_the_row_is_the_first_unless_it_is_said() -> None:
    one = {"request_id": "a", "row": 3, "label": "red"}
    assert labels_of(json.dumps(one).encode(), COLOURS, NOON_S).to_pylist() == [
        one | {"at": labels_of(json.dumps(one).encode(), COLOURS, NOON_S)["at"][0].as_py()}
    ]
    many = labels_of(
        json.dumps({"feedback": [one, {"request_id": "b", "label": "blue"}]}).encode(), COLOURS, NOON_S + 0.25
    )
    assert many.select(["request_id", "row", "label"]).to_pylist() == [
        one,
        {"request_id": "b", "row": 0, "label": "blue"},
    ]
    assert many["at"][0].as_py().isoformat() == "2026-11-26T12:00:00.250000+00:00"


@pytest.mark.parametrize(
    ("task", "labels", "kept"),
    [
        (COLOURS, ["red", " blue "], ["red", "blue"]),
        (GRADES, ["1", 2, 10.0, "2.0"], ["1", "2", "10", "2"]),
        (TRUTHS, ["true", False, "True", 1, "no"], ["true", "false", "true", "true", "false"]),
        (LATE, ["True", False, 30, 29.99, -(10**400)], ["True", "False", "True", "False", "False"]),
        (PRICE, [1, 2.5, -1e300], [1.0, 2.5, -1e300]),
    ],
)
def test_a_label_is_kept_as_the_class_or_number_that_it_names(task: Task, labels: list[Any], kept: list[Any]) -> None:
    assert _labels(task, *labels) == kept


@pytest.mark.parametrize(
    ("task", "label", "words"),
    [
        (COLOURS, "green", 'expected one of the classes blue, red, found "green"'),
        (COLOURS, "", "expected one of the classes"),
        (COLOURS, True, "expected a string, found true"),
        (COLOURS, ["red"], "expected a string"),
        (COLOURS, None, "expected a label, found null"),
        (COLOURS, "\ud800", "expected a string"),
        (GRADES, 3, "expected one of the classes 1, 2, 10, found 3"),
        (GRADES, 1.5, "expected one of the classes"),
        (TRUTHS, 2, "expected one of the classes false, true, found 2"),
        (LATE, "late", "expected one of the classes False, True"),
        (LATE, "42", "expected one of the classes False, True"),
        (PRICE, "7", 'expected a finite number, found "7"'),
        (PRICE, True, "expected a finite number"),
        (PRICE, 10**400, "expected a finite number"),
        (PRICE, None, "expected a label"),
    ],
)
def test_what_is_no_label_of_the_task_is_refused_by_name(task: Task, label: Any, words: str) -> None:
    refusal = _refused({"feedback": [{"request_id": "i", "label": label}]}, task)
    assert refusal.status == 422 and words in refusal.error
    assert [(each["row"], each["column"]) for each in refusal.errors] == [(0, "label")]


@pytest.mark.parametrize("task", [LATE, PRICE])
def test_a_number_beyond_float64_is_no_label(task: Task) -> None:
    assert _refused(b'{"request_id": "i", "label": 1e999}', task).status == 422


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "character"),
        (b'{"request_id": "i", "label": NaN}', 400, "NaN"),
        (b'{"request_id": "i", "label": "red", "label": "blue"}', 422, "'label' twice"),
        ([], 422, "not an array"),
        ({"feedback": []}, 422, "an empty one"),
        ({"feedback": {}}, 422, "an object"),
        ({"feedback": [], "row": 1}, 422, 'nothing beside "feedback"'),
        ({"feedback": [5]}, 422, "expected an object"),
        ({}, 422, "'request_id': expected a text"),
        ({"request_id": "i"}, 422, "'label': expected a label"),
        ({"request_id": "", "label": "red"}, 422, "of 1 to 128 letters"),
        ({"request_id": "x" * 129, "label": "red"}, 422, "of 1 to 128 letters"),
        ({"request_id": 5, "label": "red"}, 422, "of 1 to 128 letters"),
        ({"request_id": "\ud800", "label": "red"}, 422, "of 1 to 128 letters"),
        ({"request_id": "i", "row": -1, "label": "red"}, 422, "from 0 to 99999"),
        ({"request_id": "i", "row": 1.5, "label": "red"}, 422, "from 0 to 99999"),
        ({"request_id": "i", "row": True, "label": "red"}, 422, "from 0 to 99999"),
        ({"request_id": "i", "rows": 1, "label": "red"}, 422, "'rows': unknown key"),
        ({"feedback": [{}] * (MOST_LABELS + 1)}, 413, "at most 10000"),
    ],
)
def test_a_body_that_is_no_feedback_is_refused_in_a_sentence(body: Any, status: int, words: str) -> None:
    refusal = _refused(body)
    assert refusal.status == status and words in refusal.error


def test_of_many_problems_the_first_hundred_are_named() -> None:
    refusal = _refused({"feedback": [{"request_id": "i", "label": "green"}] * 500})
    assert len(refusal.errors) == 100 and refusal.error.startswith("Label 0, 'label'")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["feedback", "request_id", "row", "label", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)
LABEL = st.sampled_from(["red", "True", 1, 2.5, True, "1", "true"]) | JSON
ENTRY = st.fixed_dictionaries({"request_id": st.text(min_size=1, max_size=5), "label": LABEL}, optional={"row": JSON})


@given(st.sampled_from(TASKS), JSON | ENTRY | st.fixed_dictionaries({"feedback": st.lists(ENTRY, max_size=3)}))
def test_any_json_is_taken_in_the_right_types_or_refused(task: Task, value: Any) -> None:
    try:
        found = labels_of(json.dumps(value).encode(), task, NOON_S)
    except Refusal as refusal:
        assert refusal.status in (400, 422) and refusal.error
    else:
        assert found.schema.types[:2] == [pa.string(), pa.int32()]
        assert found["label"].type == (pa.float64() if task is PRICE else pa.string())
        assert found["label"].null_count == 0
        assert task is PRICE or set(found["label"].to_pylist()) <= set(task.classes)


def test_taken_labels_are_answered_with_202_and_written_by_the_hour(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    feedback = Feedback(store, "demo", "r1", LATE, clock=lambda: NOON_S)
    response = _take(feedback, b'{"feedback": [{"request_id": "a", "label": 45}, {"request_id": "a", "label": false}]}')
    assert (response.status_code, json.loads(response.body)) == (202, {"accepted": 2, "request_id": "req"})
    feedback.writer.turn(last=True)
    (file,) = store.files("endpoints/demo/feedback", recursive=True)
    assert file.path.endswith("date=2026-11-26/hour=12/r1-20261126T120000Z-000000.parquet")
    assert store.read_table(file.path)["label"].to_pylist() == ["True", "False"]


@pytest.mark.parametrize("site", [b"cross-site", b"same-site"])
def test_the_page_of_another_site_sends_no_labels(site: bytes) -> None:
    feedback = Feedback(FakeStore(), "demo", "r1", COLOURS)  # type: ignore[arg-type]
    body = b'{"request_id": "a", "label": "red"}'
    with pytest.raises(Refusal) as caught:
        _take(feedback, body, (b"sec-fetch-site", site))
    assert caught.value.status == 403
    assert _take(feedback, body, (b"sec-fetch-site", b"same-origin")).status_code == 202


def test_when_no_more_may_wait_none_of_a_body_is_taken_and_it_is_said_when_to_come_again() -> None:
    feedback = Feedback(FakeStore(away=True), "demo", "r1", COLOURS, clock=lambda: NOON_S)  # type: ignore[arg-type]
    body = json.dumps({"feedback": [{"request_id": "i", "label": "red"}] * MOST_LABELS}).encode()
    statuses = []
    while len(statuses) < 50:
        try:
            statuses.append(_take(feedback, body).status_code)
        except Refusal as refusal:
            assert refusal.status == 503 and refusal.headers == {"retry-after": "10"}
            break
    assert statuses == [202] * 10
    assert feedback.writer.counts.dropped_rows == MOST_LABELS


def test_a_large_body_is_read_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def read(body: bytes, task: Task, at_s: float) -> Any:
        threads.append(threading.current_thread().name.partition("_")[0])
        return labels_of(body, task, at_s)

    monkeypatch.setattr("serving.feedback.labels_of", read)
    feedback = Feedback(FakeStore(), "demo", "r1", COLOURS)  # type: ignore[arg-type]
    for spaces in (0, 1 << 20):
        _take(feedback, b'{"request_id": "i", "label": "red"}' + b" " * spaces)
    assert threads == ["MainThread", "large-feedback"]


def test_a_body_that_is_too_large_is_refused() -> None:
    feedback = Feedback(FakeStore(), "demo", "r1", COLOURS)  # type: ignore[arg-type]
    with pytest.raises(Refusal) as caught:
        _take(feedback, b" " * (MOST_BYTES + 1))
    assert caught.value.status == 413


@pytest.mark.parametrize("task", TASKS, ids=lambda task: "-".join(task.classes) or task.kind)
def test_what_the_openapi_document_says_is_a_body_is_taken(task: Task) -> None:
    document = openapi("demo", "7", "/", Schema(columns=()), task, feedback=True)
    told = document["paths"]["/v1/demo/feedback"]["post"]["responses"]
    assert set(told) == {"202", "400", "413", "415", "422", "503"}
    described = jsonschema.Draft202012Validator(document | document["components"]["schemas"]["Feedback"])
    bodies: list[Any] = [{"request_id": "i", "row": 2, "label": label} for label in task.classes or (1, 2.5)]
    bodies += [{"request_id": "i", "label": label} for label in (45, True)] if task is LATE else []
    for body in (*bodies, {"feedback": bodies}):
        described.validate(body)
        assert labels_of(json.dumps(body).encode(), task, NOON_S).num_rows
    for body in ({}, {"feedback": []}, {"request_id": "i"}, {"request_id": "i", "label": None, "rows": 1}):
        assert not described.is_valid(body)
        assert _refused(body, task).status == 422


def test_an_endpoint_that_takes_no_labels_has_no_such_path() -> None:
    document = openapi("demo", "7", "/", Schema(columns=()), COLOURS)
    assert "/v1/demo/feedback" not in document["paths"] and "Label" not in document["components"]["schemas"]


def test_a_row_is_a_whole_number_however_json_writes_it() -> None:
    body = {"request_id": "i", "row": 7.0, "label": "red"}
    assert labels_of(json.dumps(body).encode(), COLOURS, NOON_S)["row"].to_pylist() == [7]
