"""Whatever is sent to an endpoint, it answers as its own OpenAPI document says, and nothing is its fault."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from tritonclient.http import InferenceServerClient, InferInput

from serving.arrow_body import ARROW
from tests.in_process import TOKEN, Endpoint, endpoint
from tests.mutations import Sent, mutated

_BEARER = {"authorization": f"Bearer {TOKEN}"}
_PREDICT, _INFER, _FEEDBACK = "/v1/demo/predict", "/v2/models/demo/infer", "/v1/demo/feedback"
# What no schema can say: a date is more than a text, a header that nobody knows is none of ours, tensors have to fit
# each other, and too many of something is 413.
_CONFIG = f"""
seed = 1
auth.openapi.bearer.bearer = "{TOKEN}"
checks.negative_data_rejection.expected-statuses = ["400", "401", "405", "413", "422"]
[generation]
max-examples = 15
deterministic = true
database = "none"
allow-extra-parameters = false
[[operations]]
include-operation-id = ["predict", "v2Infer"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "422"]
"""
_LEAST_ASKED = 300
# Of processor time: how long a busy machine lets a request wait says nothing of it.
_MOST_CPU_S = 1.0
# Between turns of the writers, which in a replica have a thread.
_TURN = 200
_ROWS: list[dict[str, Any]] = [
    {"size": 50.5, "weight": 1, "colour": "red", "town": "town 1", "sold": True, "at": "2026-01-01T12:00:00Z"},
    {"size": None, "weight": 2.5e-3, "colour": "größer", "town": "", "sold": None, "at": "2026-01-02"},
    {"size": -3, "colour": None, "sold": False, "at": None},
]


@pytest.fixture(scope="module", params=["many", "regression"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with endpoint(tmp_path_factory.mktemp("fuzz"), request.param) as made:
        yield made


def test_every_answer_is_one_that_the_document_tells(served: Endpoint) -> None:
    document = schemathesis.openapi.from_asgi(
        "/openapi.json", served, config=SchemathesisConfig.from_str(_CONFIG), headers=_BEARER
    )
    asked, failures = 0, list[str]()
    for event in from_schema(document).execute():
        if isinstance(event, ScenarioFinished):
            asked += len(event.recorder.interactions)
            failures += _failures(event)
        elif isinstance(event, NonFatalError | FatalError):
            failures.append(repr(event))
    assert not failures, "\n".join(failures)
    assert asked > _LEAST_ASKED


def _failures(event: ScenarioFinished) -> Iterator[str]:
    for check in chain.from_iterable(event.recorder.checks.values()):
        if check.failure_info is not None:
            failure = check.failure_info.failure
            yield f"{event.label}, {check.name}: {failure.title} {failure.message} {check.failure_info.code_sample}"


def test_thousands_of_broken_bodies_are_refused_and_none_is_our_fault(served: Endpoint) -> None:
    asyncio.run(_bombard(served, range(1_500)))


@pytest.mark.long
def test_fifty_thousand_broken_bodies_are_refused_and_none_is_our_fault(served: Endpoint) -> None:
    asyncio.run(_bombard(served, range(100_000, 125_000)))


@pytest.mark.parametrize("request_id", [b"", b"mine", "\u6ce8\u6587".encode(), b"\xff"])
def test_what_is_sent_whole_is_answered_whatever_its_id_is(served: Endpoint, request_id: bytes) -> None:
    own = {"x-request-id": request_id.decode("latin-1")}
    statuses = [asyncio.run(_ask(served, replace(sent, headers=sent.headers | own))).status for sent in _valid(served)]
    assert set(statuses) <= {200, 202}, statuses


@dataclass(slots=True)
class _Answer:
    status: int = 0
    content_type: str = ""
    body: bytes = b""


async def _bombard(served: Endpoint, seeds: range) -> None:
    valid, told = _valid(served), await _told(served)
    statuses = Counter[int]()
    for seed in seeds:
        sent = mutated(valid, seed)
        started_s = time.process_time()
        answer = await _ask(served, sent)
        taken_s = time.process_time() - started_s
        assert taken_s < _MOST_CPU_S, (seed, taken_s)
        assert answer.content_type in told[sent.path].get(answer.status, ()), (seed, answer)
        if answer.status >= 400:
            assert json.loads(answer.body).keys() <= {"error", "errors", "request_id"}, (seed, answer)
            assert len(answer.body) < 100_000, (seed, len(answer.body))
        statuses[answer.status] += 1
        if seed % _TURN == 0:
            _write(served)
    _write(served)
    assert {200, 202, 400, 415, 422} <= statuses.keys(), statuses
    assert served.log.writer.counts.dropped_rows == served.feedback.writer.counts.dropped_rows == 0


def _write(served: Endpoint) -> None:
    """As the writers' threads do; what can't be made a table is dropped and counted."""
    for writer in (served.log.writer, served.feedback.writer):
        writer.turn(last=True)


async def _told(served: Endpoint) -> dict[str, dict[int, tuple[str, ...]]]:
    """The content types of each status of each path that takes a body, but those that are our fault."""
    document = json.loads((await _ask(served, Sent(path="/openapi.json", body=b""), "GET")).body)
    return {
        path: {
            int(status): tuple(said.get("content", ()))
            for status, said in methods["post"]["responses"].items()
            if int(status) < 500
        }
        for path, methods in document["paths"].items()
        if "post" in methods
    }


async def _ask(served: Endpoint, sent: Sent, method: str = "POST") -> _Answer:
    answer = _Answer()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": sent.body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.content_type = dict(message["headers"])[b"content-type"].decode()
        else:
            answer.body += message["body"]

    headers = [(name.encode(), value.encode("latin-1")) for name, value in (sent.headers | _BEARER).items()]
    scope = {"type": "http", "method": method, "path": sent.path, "headers": headers, "query_string": b""}
    await served(scope, receive, send)
    return answer


def _valid(served: Endpoint) -> list[Sent]:
    """Whole requests of every kind."""
    schema = served.model.predictor.schema
    table = schema.table_from_rows(_ROWS)
    coded = table.set_column(2, "colour", table["colour"].dictionary_encode())
    viewed = table.set_column(2, "colour", table["colour"].cast(pa.string_view()))
    classes = served.model.predictor.task.classes
    label = classes[0] if classes else 1.5
    labels = [{"request_id": f"r{i}", "row": i, "label": label} for i in range(3)]
    return [
        *(Sent(path=_PREDICT, body=_json(body)) for body in ({"row": _ROWS[0]}, {"rows": _ROWS})),
        *(Sent(path=_FEEDBACK, body=_json(body)) for body in ({"feedback": labels}, labels[0])),
        Sent(path=_INFER, body=_json({"id": "1", "inputs": _v2_inputs(table)})),
        _binary(table),
        *(_arrow(each, None) for each in (table, coded, viewed)),
        *(_arrow(coded, compression) for compression in ("lz4", "zstd")),
    ]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _v2_inputs(table: pa.Table) -> list[dict[str, Any]]:
    kinds = {"size": "FP64", "weight": "FP64", "sold": "BOOL"}
    texts = {name: column.cast(pa.string()).to_pylist() for name, column in zip(table.column_names, table, strict=True)}
    return [
        {
            "name": name,
            "shape": [table.num_rows],
            "datatype": kinds.get(name, "BYTES"),
            "data": table[name].to_pylist() if name in kinds else texts[name],
        }
        for name in table.column_names
    ]


def _binary(table: pa.Table) -> Sent:
    inputs = []
    for each in _v2_inputs(table):
        kind = {"FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}[each["datatype"]]
        cells = [cell if cell is not None or kind is not np.object_ else "" for cell in each["data"]]
        made = InferInput(each["name"], each["shape"], each["datatype"])
        inputs.append(made.set_data_from_numpy(np.array(cells, kind)))
    body, length = InferenceServerClient.generate_request_body(inputs)
    return Sent(path=_INFER, body=body, headers={"inference-header-content-length": str(length)})


def _arrow(table: pa.Table, compression: str | None) -> Sent:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=2)
    accepts = {"accept": ARROW} if compression is None else {}
    return Sent(path=_PREDICT, body=sink.getvalue(), headers={"content-type": ARROW} | accepts)
