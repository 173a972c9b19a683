"""An OpenAPI document with what the guard adds to every operation: who may ask, and what it may answer itself."""

from __future__ import annotations

from typing import Any

from serving.guard import OPEN

_SCHEME = "bearer"
_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer (RFC 6750)"}}
_LATE = {"408": "the body did not come in time", "504": "no answer in time"}


def guarded(document: dict[str, Any], *, takes_tokens: bool) -> dict[str, Any]:
    """The document of a service that stands behind a guard; its schemas name an `Error`."""
    paths = {
        path: {method: _operation(path, said, takes_tokens) for method, said in operations.items()}
        for path, operations in document["paths"].items()
    }
    if not takes_tokens:
        return document | {"paths": paths}
    scheme = {"type": "http", "scheme": "bearer", "description": "a token that the endpoint's owner has given out"}
    components = document["components"] | {"securitySchemes": {_SCHEME: scheme}}
    return document | {"paths": paths, "components": components}


def _operation(path: str, said: dict[str, Any], takes_tokens: bool) -> dict[str, Any]:
    late = _LATE if "requestBody" in said else {"504": _LATE["504"]}
    added = {status: {"description": why, "content": _ERROR} for status, why in late.items()}
    security: dict[str, Any] = {}
    if takes_tokens and path not in OPEN:
        added["401"] = {"description": "no token, or none that may ask", "content": _ERROR, "headers": _CHALLENGE}
        security = {"security": [{_SCHEME: []}]}
    return said | security | {"responses": said["responses"] | added}
