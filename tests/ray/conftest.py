"""One small local Ray for all tests here."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from cluster.session import Session, open_session
from raymill.console import Console


@pytest.fixture(scope="session")
def ray_session() -> Iterator[Session]:
    """The session that the command line opens, started by the first test that asks for it, ended after the last."""
    with open_session(Console(io.StringIO()), needs_serve=True) as session:
        yield session
