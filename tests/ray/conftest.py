"""One small local Ray for all tests here."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator

import pytest

from cluster.session import Session, open_session
from raymill.console import Console


@pytest.fixture(scope="session")
def ray_session() -> Iterator[Session]:
    """The session that the command line opens, started by the first test that asks for it, ended after the last."""
    with open_session(Console(io.StringIO()), needs_serve=True) as session:
        yield session


@pytest.fixture(scope="session")
def serve_port() -> int:
    """The port of the session's one Serve; each model there has a route of its own."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
