"""The guard of gRPC: who may ask. Serve opens gRPC on every interface, whatever address a spec names.

Source: ray/serve/_private/grpc_util.py of 2.60, `start_grpc_server`, and gRPC's naming.md for what a peer looks like.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import unquote

from serving.guard import token_in
from serving.refusal import Refusal
from serving.tokens import Admission

# As HTTP's health is.
_OPEN = ("ServerLive", "ServerReady")


class Caller(Protocol):
    """What a call's context says of who calls."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]: ...
    def peer(self) -> str: ...


class GrpcGuard:
    """Lets through what may ask: from this machine only where that is so, with a token where one is needed."""

    def __init__(self, *, loopback_only: bool, admission: Admission | None) -> None:
        self._loopback_only, self._admission = loopback_only, admission

    def check(self, method: str, caller: Caller) -> None:
        """Raises Refusal 401 or 403."""
        if self._loopback_only and not _is_loopback(caller.peer()):
            raise Refusal(403, "This endpoint answers its own machine only; its serve.host says so.")
        if self._admission is None or method in _OPEN:
            return
        token = token_in((key.encode(), _bytes(value)) for key, value in caller.invocation_metadata())
        if token is None:
            raise Refusal(401, "Send a token, as metadata authorization: Bearer TOKEN.")
        if not self._admission.admits(token):
            raise Refusal(401, "This token is not one of those that may ask here.")


def _is_loopback(peer: str) -> bool:
    """Of a peer as `ipv4:127.0.0.1:5000`, `ipv6:%5B::1%5D:5000` or `unix:...`."""
    scheme, _, address = unquote(peer).partition(":")
    if scheme == "unix":
        return True
    try:
        host = ipaddress.ip_address(address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return (mapped or host).is_loopback


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
