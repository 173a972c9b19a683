"""What a command prints on standard output; all else goes to standard error."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import Any, TextIO

from raymill.console import Console
from raymill.loggable import scrubbed


class Output:
    """A command's standard output: one JSON object with --json, else what the command is there to print.

    No URI in the object shows a password.
    """

    def __init__(self, stream: TextIO, command: str, as_json: bool, console: Console) -> None:
        self._stream, self._command, self._as_json, self._console = stream, command, as_json, console
        self._started_s = time.monotonic()
        self._is_lost = False

    def text(self, text: str) -> None:
        self._print(text)

    def report(self, report: dict[str, Any], code: int = 0) -> None:
        """Prints the one object; a second report, of how a held endpoint ended, is not printed."""
        if self._as_json:
            status = "succeeded" if code == 0 else "interrupted" if code == 130 else "failed"
            elapsed_s = report.get("elapsed_s", {}) | {"total": round(time.monotonic() - self._started_s, 3)}
            document = {"job": self._command, "status": status, **report, "elapsed_s": elapsed_s}
            self._print(json.dumps(scrubbed(document)) + "\n")
        self._as_json = False

    def end(self) -> bool:
        """Whether all has been taken that was printed, which a file on a full disk does not do; says so if not."""
        self._lose(settle(self._stream))
        return not self._is_lost

    def _print(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError | None) -> None:
        """A reader that has seen enough, as `head`, misses nothing."""
        if error is None or isinstance(error, BrokenPipeError) or self._is_lost:
            return
        self._is_lost = True
        with suppress(OSError):  # of a standard error that is the same file
            self._console.say(f"WARNING: standard output takes no more: {error.strerror}.")


def settle(stream: TextIO) -> OSError | None:
    """Writes what a stream still holds; returns why that can't be, and has then dropped it.

    Python would try once more when it ends, and make 120 of any exit code.
    """
    try:
        stream.flush()
    except OSError as error:
        with suppress(OSError):  # of a stream that is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None
