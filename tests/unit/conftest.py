"""Unit tests may not start Ray, and may take their time."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest

# How long an example takes on a busy machine says nothing of the code.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a unit test started Ray; move it to tests/ray")

    monkeypatch.setattr("ray.init", refuse)
