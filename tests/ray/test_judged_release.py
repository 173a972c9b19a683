"""A judge that acts on a live endpoint: a worse version is rolled back and an equal one promoted, by nobody's hand."""

from __future__ import annotations

import http.client
import io
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cluster.endpoint import deploy_version, find, undeploy
from cluster.releasing import follow, release
from cluster.session import Session
from raymill.console import Console
from raymill.registry import Registry, Version
from raymill.release import find_release
from raymill.spec import Spec
from raymill.store import Store
from tests.callers import Callers
from tests.flipped_bundles import truth, write_trained

_LABELS_AT_ONCE = 50


class _Callers(Callers):
    """Callers of the endpoint who tell it the truth of every row later, many rows at a time."""

    def __init__(self, port: int, route: str, count: int = 4) -> None:
        super().__init__(count)
        self.answered, self.failures = Counter[str](), list[Any]()
        self._port, self._paths = port, {what: f"{route}/v1/judged/{what}" for what in ("predict", "feedback")}

    def _call(self, number: int) -> None:
        rng, connection = random.Random(number), http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        labels: list[dict[str, Any]] = []
        while not self._stop.wait(0.002):
            row = {"a": rng.uniform(-1, 1), "b": rng.uniform(-1, 1)}
            answer = self._post(connection, "predict", {"row": row}, 200)
            self.answered[answer["model"]["version"]] += 1
            labels.append({"request_id": answer["request_id"], "label": truth(row["a"])})
            if len(labels) == _LABELS_AT_ONCE:
                self._post(connection, "feedback", {"feedback": labels}, 202)
                labels = []

    def _post(self, connection: http.client.HTTPConnection, what: str, body: Any, wanted: int) -> Any:
        connection.request("POST", self._paths[what], json.dumps(body))
        answer = connection.getresponse()
        said = json.loads(answer.read())
        if answer.status != wanted:
            self.failures.append((answer.status, said))
        return said


def _spec(folder: Path, port: int) -> Spec:
    return Spec.model_validate(
        {
            "name": "judged",
            "task": {"type": "classification", "target": "y"},
            "data": {"source": "nowhere.csv"},
            "store": str(folder / "store"),
            "tracking": "http://127.0.0.1:9",
            "serve": {
                "port": port,
                "route": "/judged",
                "log": {"sample": 1.0, "every_s": 1},
                "release": {"min_duration_s": 5, "min_requests": 200, "max_error_rise": 0.02},
            },
        }
    )


@pytest.fixture
def aliases(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The versions that were given the champion's alias, in a registry that is nowhere."""
    given: list[int] = []
    monkeypatch.setattr(Registry, "__init__", lambda self, uri: None)
    monkeypatch.setattr(Registry, "set_alias", lambda self, name, alias, to: given.append(to))
    return given


def test_a_worse_version_is_rolled_back_and_an_equal_one_promoted(
    ray_session: Session,
    serve_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    aliases: list[int],
) -> None:
    spec, console, store = _spec(tmp_path, serve_port), Console(io.StringIO()), Store(str(tmp_path / "store"))
    bundles = {number: str(tmp_path / f"bundle-{number}") for number in (1, 2, 3)}
    digests = {n: write_trained(uri, seed=n, flipped=n == 2) for n, uri in bundles.items()}

    def champion_is(number: int) -> None:
        version = Version(
            name="judged", number=number, bundle_uri=bundles[number], digest=digests[number], run_id="run"
        )
        monkeypatch.setattr("cluster.releasing.find_champion", lambda spec, waits_s: version)

    deploy_version(spec, version=1, bundle_uri=bundles[1], digest=digests[1], console=console)
    try:
        with _Callers(serve_port, "/judged") as callers:
            champion_is(2)
            release(spec, console, share=0.5, shadow=False)
            ended = follow(spec, console)
            assert (ended.state, aliases) == ("rolled_back", [1])
            assert ended.reason.startswith("beyond a limit: ") and "loss" in ended.reason
            told = find_release(store, "judged")
            assert told is not None and told.reason == ended.reason
            champion_is(3)
            release(spec, console, share=0.5, shadow=False)
            ended = follow(spec, console)
            assert ended.state == "promoted" and ended.reason.startswith("within every limit: ")
        assert callers.failures == [] and set(callers.answered) == {"1", "2", "3"}
        record = find(store, "judged")
        assert record is not None and record.version == "3"
    finally:
        undeploy(spec, console)
