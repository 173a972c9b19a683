"""A request that is refused: its status, one sentence for the caller, and what problems its rows have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Refusal(Exception):
    """Answered as `{"error", "errors"?, "request_id"}` with a 4xx status."""

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
