"""The promote job: what keeps two of one name apart. What it does is in tests/ray/test_walk.py."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.promote import Promotion, promote
from raymill.console import Console
from raymill.gate import Keep
from raymill.registry import Version
from raymill.spec import Spec

VERSION = Version(name="far", number=1, bundle_uri="u", digest="d", run_id=None)


def test_promotions_of_a_name_come_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raymill.lease._LOOK_EVERY_S", 0.01)
    courier = SimpleNamespace(run_id=lambda: "r", deliver=lambda evaluation: None)
    monkeypatch.setattr("jobs.promote.Courier", lambda *_: courier)
    inside, most, begun = [], [], threading.Barrier(2)

    def decided(*_: Any) -> Promotion:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.3)
        inside.pop()
        return Promotion(version=VERSION, decision=Keep(reason="it is no better"), champion=None)

    monkeypatch.setattr("jobs.promote._promote", decided)
    fields = {"name": "far", "task": {"type": "regression", "target": "y"}, "data": {"source": "t.csv"}}
    spec, shown = Spec.model_validate(fields | {"store": str(tmp_path)}), io.StringIO()

    def run() -> None:
        begun.wait()
        promote(spec, None, None, None, Console(shown))  # type: ignore[arg-type]

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1] and shown.getvalue().count("it is no better") == 2
    assert "promote   waiting: The champion of far is being worked on by process" in shown.getvalue()
