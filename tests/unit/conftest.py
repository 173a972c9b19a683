"""Unit tests may not start Ray."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a unit test started Ray; move it to tests/ray")

    monkeypatch.setattr("ray.init", refuse)
