"""A few test rows through a live endpoint, as its first users."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

import pyarrow as pa

from cluster.certificate import direct
from cluster.exposure import CALLERS_TOKEN
from raymill.errors import DataError, MachineError
from raymill.prepared import Prepared
from raymill.schema import Schema

_TIMEOUT_S = 30.0
_MOST_SHOWN = 200


def first_test_rows(prepared: Prepared, count: int) -> pa.Table:
    """The first raw test rows, at most `count`, with all columns that the source has."""
    shard = next(shard for shard in prepared.raw_test.shards if shard.rows)
    return prepared.read(shard).slice(0, count)


def rows_as_json(schema: Schema, table: pa.Table) -> list[dict[str, Any]]:
    """Raw rows as the JSON objects that a client would send: null for a missing cell, ISO 8601 for a time."""
    conformed = schema.conform(table)
    return [{name: _cell(value) for name, value in row.items()} for row in conformed.to_pylist()]


def ask(
    url: str, rows: list[dict[str, Any]], *, token: str = "", certificate: str = "", timeout_s: float = _TIMEOUT_S
) -> dict[str, Any]:
    """Posts rows to an endpoint's predict URL; returns its answer. Trusts `certificate` alone where there is one.

    Raises DataError when the endpoint refuses the rows, MachineError when it fails or doesn't answer.
    """
    body = json.dumps({"rows": rows}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"} | _authorization(token))
    try:
        with direct(certificate).open(request, timeout=timeout_s) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        raise _refused(url, error) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise MachineError(
            f"{url} gave no answer: {reason}.", "See the load of this machine, and type the command again."
        ) from error


def _authorization(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def _refused(url: str, error: urllib.error.HTTPError) -> DataError | MachineError:
    with error:
        text = " ".join(error.read().decode(errors="replace").split())[:_MOST_SHOWN]
    if error.code == 401:
        return DataError(f"{url} doesn't take the token in {CALLERS_TOKEN}.", "Set it to one that serve.tokens admits.")
    if error.code < 500:
        return DataError(
            f"{url} refused the test rows with status {error.code}: {text}",
            "Compare them with the model's columns, which GET /v1/NAME lists.",
        )
    return MachineError(
        f"{url} failed with status {error.code}: {text}", "See Ray Serve's logs, and type the command again."
    )


def _cell(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
