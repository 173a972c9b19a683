"""A few rows go to an endpoint as a client would send them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pyarrow as pa
import pytest

from cluster.sample import ask, rows_as_json
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
        answer = {"path": self.path, "type": self.headers["content-type"], "body": json.loads(body)}
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


def test_rows_are_posted_as_json(url: str) -> None:
    answer = ask(url, [{"size": 1.5}])
    assert answer == {"path": "/v1/x/predict", "type": "application/json", "body": {"rows": [{"size": 1.5}]}}
