"""A request that is refused: its status, one sentence for the caller, and what problems its rows have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response


class Refusal(Exception):
    """Answered as `{"error", "errors"?, "request_id"}` with its status."""

    def __init__(
        self,
        status: int,
        error: str,
        *,
        errors: Sequence[dict[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, error)
        self.status, self.error = status, error
        self.errors, self.headers = list(errors), dict(headers or {})

    def response(self, request_id: str) -> Response:
        errors = {"errors": self.errors} if self.errors else {}
        body = json.dumps({"error": self.error} | errors | {"request_id": request_id})
        return Response(body, self.status, self.headers, "application/json")
