"""What a command prints on standard output; all else goes to standard error."""

from __future__ import annotations

import json
import time
from typing import Any, TextIO

from raymill.loggable import scrubbed


class Output:
    """A command's standard output: one JSON object with --json, else what the command is there to print.

    No URI in the object shows a password.
    """

    def __init__(self, stream: TextIO, command: str, as_json: bool) -> None:
        self._stream, self._command, self._as_json = stream, command, as_json
        self._started_s = time.monotonic()

    def text(self, text: str) -> None:
        self._stream.write(text)

    def report(self, report: dict[str, Any], code: int = 0) -> None:
        """Prints the one object; a second report, of how a held endpoint ended, is not printed."""
        if self._as_json:
            status = "succeeded" if code == 0 else "interrupted" if code == 130 else "failed"
            elapsed_s = report.get("elapsed_s", {}) | {"total": round(time.monotonic() - self._started_s, 3)}
            document = {"job": self._command, "status": status, **report, "elapsed_s": elapsed_s}
            self._stream.write(json.dumps(scrubbed(document)) + "\n")
            self._stream.flush()
        self._as_json = False
