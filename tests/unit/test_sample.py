"""A few rows go to an endpoint as a client would send them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from cluster.sample import ask, first_test_rows, rows_as_json
from raymill.errors import DataError, MachineError
from raymill.schema import Column, Schema

SCHEMA = Schema(
    columns=(
        Column(name="size", kind="number"),
        Column(name="colour", kind="category"),
        Column(name="sold", kind="boolean"),
        Column(name="at", kind="timestamp"),
    )
)
ROWS = pa.table(
    {
        "id": [1, 2],
        "size": [1.5, None],
        "colour": ["red", None],
        "sold": [True, None],
        "at": [datetime(2026, 1, 2, 3, 4, 5), None],
    }
)
SENT = [{"size": 1.5}]


def test_rows_are_json_objects_of_the_features_with_null_for_a_missing_cell() -> None:
    rows = json.loads(json.dumps(rows_as_json(SCHEMA, ROWS), allow_nan=False))
    assert rows == [
        {"size": 1.5, "colour": "red", "sold": True, "at": "2026-01-02T03:04:05"},
        {"size": None, "colour": None, "sold": None, "at": None},
    ]


def test_what_is_sent_is_read_back_as_the_same_rows() -> None:
    rows = rows_as_json(SCHEMA, ROWS)
    assert SCHEMA.table_from_rows(rows).equals(SCHEMA.conform(ROWS))


class Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        shown = {"type": self.headers["content-type"], "authorization": self.headers["authorization"]}
        answer = {"path": self.path, "body": json.loads(body)} | shown
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/x/predict"
    server.shutdown()
    thread.join()
    server.server_close()


def test_rows_are_posted_as_json_with_a_token_where_there_is_one(url: str) -> None:
    answer = {"path": "/v1/x/predict", "type": "application/json", "body": {"rows": [{"size": 1.5}]}}
    assert ask(url, [{"size": 1.5}]) == answer | {"authorization": None}
    assert ask(url, [{"size": 1.5}], token="mine") == answer | {"authorization": "Bearer mine"}


@contextmanager
def answering(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """The predict URL of a server that answers a POST so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            respond(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/demo/predict"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def with_status(code: int, body: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def test_rows_that_are_refused_are_the_datas_fault() -> None:
    refusal = json.dumps({"error": "Row 0, column 'a': unknown column"}).encode()
    with (
        answering(with_status(422, refusal)) as url,
        pytest.raises(DataError, match=r"status 422: .*unknown") as caught,
    ):
        ask(url, SENT)
    assert "GET /v1/NAME" in caught.value.fix


def test_a_token_that_is_not_taken_is_the_callers_to_change() -> None:
    with answering(with_status(401, b"{}")) as url, pytest.raises(DataError, match="the token in RAYMILL_TOKEN"):
        ask(url, SENT, token="mine")


@pytest.mark.parametrize(
    ("respond", "what"),
    [
        (with_status(500, b"our fault"), "failed with status 500: our fault"),
        (with_status(200, b"no json"), "gave no answer: Expecting value"),
        (lambda handler: None, "gave no answer: Remote end closed"),
        (lambda handler: time.sleep(0.5), "gave no answer: timed out"),
    ],
    ids=["status", "text", "silence", "late"],
)
def test_an_endpoint_that_fails_is_the_machines_fault(respond: Callable[[Any], None], what: str) -> None:
    with answering(respond) as url, pytest.raises(MachineError, match=what):
        ask(url, SENT, timeout_s=0.2)


def test_nobody_there_is_the_machines_fault() -> None:
    with pytest.raises(MachineError, match=r"gave no answer: .*refused"):
        ask("http://127.0.0.1:9/v1/demo/predict", SENT)


def test_rows_are_taken_from_the_first_shard_that_has_any() -> None:
    tables = {"empty": pa.table({"a": pa.array([], pa.int64())}), "full": pa.table({"a": [1, 2, 3]})}
    shards = [SimpleNamespace(path=name, rows=table.num_rows) for name, table in tables.items()]
    prepared = SimpleNamespace(raw_test=SimpleNamespace(shards=shards), read=lambda shard: tables[shard.path])
    assert first_test_rows(prepared, 2).to_pylist() == [{"a": 1}, {"a": 2}]
