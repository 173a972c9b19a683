"""Ports for the servers that tests start."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """A port that nobody listens on, below those that outgoing connections take for themselves."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as held, contextlib.suppress(OSError):
            held.bind(("", port))
            return port


def free_ports(count: int) -> list[int]:
    """Different ones."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)
