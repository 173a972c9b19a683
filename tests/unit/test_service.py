"""The HTTP contract, with a model that only counts."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from starlette.requests import Request
from starlette.responses import Response

from raymill.encodings import Features
from raymill.errors import DataError
from raymill.schema import Column, Schema
from raymill.task import Task
from serving import body
from serving.arguments import EndpointArgs
from serving.body import MOST_ROWS, rows_of
from serving.model import Model
from serving.refusal import Refusal
from serving.service import Service
from serving.version import Version

PREDICT = "/v1/demo/predict"
SCHEMA = Schema(columns=(Column(name="a", kind="number"), Column(name="color", kind="category")))
TASK = Task(kind="classification", target="y", classes=("no", "yes"))


@dataclass
class Fake:
    """Probability `a` of class yes; -1 is refused as data, -2 breaks, -3 makes a score that is no number."""

    schema: Schema = SCHEMA
    task: Task = TASK
    digest: str = "d"
    rows: int = 0

    def encode(self, rows: Sequence[dict[str, Any]]) -> Features:
        return self.encode_table(self.schema.table_from_rows(list(rows)))

    def encode_table(self, table: pa.Table) -> Features:
        share = np.nan_to_num(table["a"].to_numpy(zero_copy_only=False))
        return Features(numbers=share[:, None], categories=np.empty((len(share), 0)))

    def scores(self, features: Features) -> np.ndarray:
        self.rows += features.rows
        share = features.numbers[:, 0]
        if -1 in share:
            raise DataError("Column 'a' holds -1.", "Send another.")
        if -2 in share:
            raise RuntimeError("secret /path")
        share = np.where(share == -3, np.nan, share)
        return np.stack([1 - share, share], axis=1)


def _args(**changes: Any) -> EndpointArgs:
    return EndpointArgs(**({"name": "demo", "version": "7", "bundle_uri": "u", "digest": "d"} | changes))


def _service(fake: Fake | None = None, **changes: Any) -> Service:
    return Service(_args(**changes), Model(predictor=fake or Fake(), lineage={"run": "r"}))


def _ask(
    service: Service, method: str, path: str, content: bytes | str | dict[str, Any] = b"", **headers: str
) -> tuple[Response, Any]:
    text = json.dumps(content) if isinstance(content, dict) else content
    data = text.encode() if isinstance(text, str) else text

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b""}
    response = asyncio.run(service.answer(Request(scope, receive)))
    return response, json.loads(response.body)


def test_one_row_and_many_rows_get_a_prediction_each() -> None:
    one = _ask(_service(), "POST", PREDICT, {"row": {"a": 0.25}}, x_request_id="i")[1]
    assert one == {
        "predictions": [{"prediction": "no", "probabilities": {"no": 0.75, "yes": 0.25}}],
        "model": {"name": "demo", "version": "7"},
        "request_id": "i",
    }
    many = _ask(_service(), "POST", PREDICT, {"rows": [{"a": 1}, {"color": "red"}]})[1]
    assert [prediction["prediction"] for prediction in many["predictions"]] == ["yes", "no"]


def test_a_regression_answers_with_numbers() -> None:
    fake = Fake(task=Task(kind="regression", target="y"))
    fake.scores = lambda features: features.numbers[:, 0]  # type: ignore[method-assign]
    assert _ask(_service(fake), "POST", PREDICT, {"row": {"a": 2.5}})[1]["predictions"] == [{"prediction": 2.5}]


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"{", 400, "character 1"),
        (b"", 400, "character 0"),
        (b'{"row": {"a": NaN}}', 400, "NaN"),
        (b'{"row": {"a": "\xff"}}', 400, "UTF-8"),
        (b"[" * 100_000, 400, "nested"),
        (b'{"row": {"a": ' + b"9" * 5000 + b"}}", 400, "digits"),
        (b"[]", 422, "an array"),
        (b"{}", 422, "empty"),
        (b'{"row": {}, "rows": []}', 422, "both"),
        (b'{"instances": []}', 422, "'instances'"),
        (b'{"row": {"a": 1, "b": 2, "a": 3}}', 422, "'a' twice"),
        (b'{"rows": {}}', 422, "an object"),
        (b'{"rows": []}', 422, "no rows"),
        (b'{"row": {"a": -1}}', 422, "holds -1"),
    ],
)
def test_a_body_that_is_none_is_refused_in_a_sentence(content: bytes, status: int, words: str) -> None:
    response, answer = _ask(_service(), "POST", PREDICT, content, x_request_id="i")
    assert response.status_code == status
    assert words in answer["error"] and answer["request_id"] == "i"


def test_bad_rows_are_named_one_by_one() -> None:
    rows = [{"a": 1}, {"a": "x"}, {"colour": "red"}, 5]
    response, answer = _ask(_service(), "POST", PREDICT, {"rows": rows[:3]})
    assert response.status_code == 422
    assert [(e["row"], e["column"]) for e in answer["errors"]] == [(1, "a"), (2, "colour")]
    assert "'color'" in answer["errors"][1]["problem"]
    assert _ask(_service(), "POST", PREDICT, {"rows": rows})[1]["errors"][0]["row"] == 3


@pytest.mark.parametrize("value", [-2, -3])
def test_our_own_failure_shows_its_request_id_only(value: int) -> None:
    response, answer = _ask(_service(), "POST", PREDICT, {"row": {"a": value}}, x_request_id="find-me")
    assert response.status_code == 500
    assert set(answer) == {"error", "request_id"} and "secret" not in answer["error"]


def test_a_body_over_the_limit_is_refused_whether_announced_or_not() -> None:
    announced = _ask(_service(), "POST", PREDICT, b"{}", content_length=str(body.MOST_BYTES + 1))[0]
    sent = _ask(_service(), "POST", PREDICT, b" " * (body.MOST_BYTES + 1))[0]
    assert (announced.status_code, sent.status_code) == (413, 413)


def test_unknown_paths_and_methods_say_which_there_are() -> None:
    missing, answer = _ask(_service(), "GET", "/v2/health")
    assert missing.status_code == 404 and "POST /v1/demo/predict" in answer["error"]
    wrong, answer = _ask(_service(), "GET", PREDICT)
    assert wrong.status_code == 405 and wrong.headers["allow"] == "POST" and "GET /v1/demo" in answer["error"]
    assert _ask(_service(), "HEAD", PREDICT)[0].status_code == 405
    assert _ask(_service(), "HEAD", "/healthz")[0].status_code == 200  # whose body the server leaves out


def test_all_routes_lie_below_the_endpoints_route() -> None:
    service = _service(route="/models/demo", endpoint_id="e1", configuration="c1")
    health = {"status": "ok", "name": "demo", "version": "7", "id": "e1", "configuration": "c1"}
    assert _ask(service, "GET", "/models/demo/healthz")[1] == health
    assert _ask(service, "GET", "/models/demo/openapi.json")[1]["servers"] == [{"url": "/models/demo"}]
    assert "POST /models/demo/v1/demo/predict" in _ask(service, "GET", "/models/demo")[1]["error"]


def test_the_card_says_what_is_served_and_where_it_came_from() -> None:
    card = _ask(_service(run_id="abc"), "GET", "/v1/demo")[1]
    assert card["task"] == {"type": "classification", "target": "y"}
    assert (card["version"], card["digest"], card["classes"]) == ("7", "d", ["no", "yes"])
    assert card["input"]["properties"].keys() == {"a", "color"}
    assert card["lineage"] == {"run_id": "abc", "run": "r"}


def test_the_openapi_document_types_rows_and_answers() -> None:
    document = _ask(_service(), "GET", "/openapi.json")[1]
    schemas = document["components"]["schemas"]
    assert schemas["Row"]["properties"]["a"] == {"type": ["number", "null"]}
    assert schemas["Prediction"]["properties"]["prediction"] == {"enum": ["no", "yes"]}
    assert set(document["paths"][PREDICT]["post"]["responses"]) >= {"200", "400", "413", "422"}
    assert set(document["paths"]) >= {PREDICT, "/v1/demo", "/healthz", "/openapi.json", "/docs", "/v2"}


def test_a_long_request_id_is_cut_and_an_absent_one_made() -> None:
    assert len(_ask(_service(), "GET", "/nope", x_request_id="x" * 1000)[1]["request_id"]) == 128
    first, second = (_ask(_service(), "GET", "/nope")[1]["request_id"] for _ in range(2))
    assert first and first != second


def test_a_large_answer_to_a_small_body_is_written_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    write, threads = Version.answer, []

    def answer(self: Version, scores: np.ndarray, request_id: str) -> str:
        threads.append(threading.current_thread().name.partition("_")[0])
        return write(self, scores, request_id)

    monkeypatch.setattr(Version, "answer", answer)
    for rows in (1, 20_000):
        response, _ = _ask(_service(), "POST", PREDICT, '{"rows": [' + ",".join(["{}"] * rows) + "]}")
        assert response.status_code == 200
    assert threads == ["MainThread", "large-bodies"]


def test_rows_of_many_classes_are_bounded_by_their_scores() -> None:
    fake = Fake(task=replace(TASK, classes=tuple(map(str, range(1_000)))))
    rows = [{}] * 4_001
    response, found = _ask(_service(fake), "POST", PREDICT, {"rows": rows})
    assert response.status_code == 413 and fake.rows == 0
    assert found["error"] == "4001 rows have more than 4000000 scores; send at most 4000 at a time."


def test_a_release_may_end_while_it_is_asked_for() -> None:
    class Ending:
        live = property(lambda self: next(seen))

    service = _service()
    seen = iter([SimpleNamespace(candidate=SimpleNamespace(label="8")), None, None])
    service._watch = Ending()  # type: ignore[assignment]
    assert (service.candidate, service.candidate) == ("8", None)


def test_warming_up_scores_a_row() -> None:
    fake = Fake()
    _service(fake).warm_up()
    assert fake.rows == 1


def test_more_rows_than_a_replica_should_chew_at_once_are_refused() -> None:
    with pytest.raises(Refusal) as caught:
        rows_of(b'{"rows": [' + b"{}," * MOST_ROWS + b"{}]}")
    assert caught.value.status == 413
    with pytest.raises(Refusal) as caught:
        rows_of(b'{"rows": [], "' + b"x" * 10_000 + b'": 1}')
    assert len(str(caught.value)) < 300
