"""A replica that is asked other rows than its model was trained on says so in its metrics, and shows no cell."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from raymill.drift import THRESHOLD
from serving.app import Replica
from serving.arguments import EndpointArgs
from serving.meters import DRIFT, SURE_DRIFT, Meters
from serving.model import Model, load_model
from tests.mixed_bundles import MODELS, raw_rows, write
from tests.unit.test_endpoint_meters import Recorder

COLUMNS = {"size", "weight", "colour", "town", "sold", "at"}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """What replicas record; they count no drift by themselves meanwhile."""
    found = Recorder()
    monkeypatch.setattr("serving.app.Meters", lambda name, version: Meters(name, version, found))
    monkeypatch.setattr("serving.drift_watch._TURN_S", 3600.0)
    monkeypatch.setattr("serving.drift_watch._ROWS_PER_TURN", 100)
    monkeypatch.setattr("serving.meters._REFRESH_EVERY_S", 3600.0)
    return found


def _replica(folder: Path) -> Replica:
    written = write(folder, MODELS[1], "two")
    args = EndpointArgs(
        name="demo", version="7", bundle_uri=written.uri, digest=written.digest, private=("town", "colour")
    )
    return Replica(args)


def _ask(replica: Replica, **changes: Any) -> None:
    """Two thousand train rows, a hundred at a time."""
    table = raw_rows().select(sorted(COLUMNS))
    rows = [row | {"at": row["at"].isoformat()} | changes for row in table.to_pylist()] * 3
    for start in range(0, 2_000, 100):
        content = json.dumps({"rows": rows[start : start + 100]}).encode()

        async def receive(content: bytes = content) -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        scope = {"type": "http", "method": "POST", "path": "/v1/demo/predict", "headers": [], "query_string": b""}
        assert asyncio.run(replica(Request(scope, receive))).status_code == 200
        assert replica._drift is not None
        replica._drift.turn()
    replica._meters.record(0, None, {}, replica._drifting)


def _drifting(recorder: Recorder) -> set[str]:
    newest = {labels["column"]: least for least, labels in recorder.of(SURE_DRIFT)}
    return {column for column, least in newest.items() if least > THRESHOLD}


def test_steady_rows_are_steady_and_shifted_ones_drift_by_column(
    tmp_path: Path, recorder: Recorder, said: pytest.LogCaptureFixture
) -> None:
    replica = _replica(tmp_path)
    replica._meters.record(0, None, {}, replica._drifting)
    assert recorder.of(SURE_DRIFT) == recorder.of(DRIFT) == []
    _ask(replica)
    assert _drifting(recorder) == set()
    shown = recorder.of(DRIFT)
    assert {labels["column"] for _, labels in shown} == COLUMNS and max(effect for effect, _ in shown) < 0.1
    _ask(replica, size=900.0, town="town 3", colour="a secret colour")
    _ask(replica, size=900.0, town="town 3", colour="a secret colour")
    assert _drifting(recorder) == {"size", "town", "colour"}
    shown_anywhere = json.dumps(recorder.all) + said.text
    assert "'town'" in said.text and "secret" not in shown_anywhere and "town 3" not in shown_anywhere
    worst = dict((labels["column"], effect) for effect, labels in recorder.of(DRIFT))
    assert worst["town"] > 0.5 and worst["weight"] < 0.1


def test_a_bundle_that_was_made_without_a_reference_serves_and_tells_no_drift(
    tmp_path: Path, recorder: Recorder
) -> None:
    path = tmp_path / "bundle.json"
    written = write(tmp_path, MODELS[0], "two")
    document = json.loads(path.read_text())
    del document["drift_reference"]
    path.write_text(json.dumps(document))

    def load(uri: str, digest: str) -> Model:
        return load_model(uri, None)  # type: ignore[arg-type]

    args = EndpointArgs(name="demo", version="7", bundle_uri=written.uri, digest=written.digest)
    replica = Replica(args, load)
    assert replica._drift is None
    replica._meters.record(0, None, {}, replica._drifting)
    assert recorder.of(SURE_DRIFT) == recorder.of(DRIFT) == []
