"""Loopback: an embedded Ray is reached from its own machine only.

By default Ray takes this machine's address in the network for its node, and all its processes listen on every
interface. On macOS and Windows it takes 127.0.0.1, where they then listen; that is a constant of Ray's, which it
reads from the environment when it is first imported.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator


@contextlib.contextmanager
def on_loopback(address: str | None) -> Iterator[None]:
    """Starts Ray on loopback where there is no address to join; joins one there, which Ray refuses otherwise."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    if address is None or is_loopback(address.rpartition(":")[0]):
        ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; a name is one that others may reach, but for `localhost`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
