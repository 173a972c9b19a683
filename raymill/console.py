"""What the user sees while a job runs: plain lines, and progress bars where a terminal shows them."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from raymill.loggable import without_userinfo
from raymill.meter import Meter

_REDRAW_EVERY_S = 0.1
_LINE_EVERY_S = 10.0
_BAR_CELLS = 24


class Console:
    """Writes lines to one stream; a progress bar redraws itself on a terminal and is a line every 10 s elsewhere.

    Its meter hears the numbers of the job that it is handed to.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.meter = Meter()

    def say(self, text: str) -> None:
        """Prints one finished line; no URI in it shows a password."""
        text = without_userinfo(text)
        self.stream.write(f"\r\x1b[K{text}\n" if self.live else f"{text}\n")
        self.stream.flush()

    @contextlib.contextmanager
    def showing(self, logger: str) -> Iterator[None]:
        """Says, while the block runs, what is logged under a name as a warning or worse."""
        handler = _Saying(self)
        logging.getLogger(logger).addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger(logger).removeHandler(handler)

    def bar(self, label: str, total: int) -> Progress:
        """A bar from 0 to `total` units, to be closed by its owner."""
        return Progress(self, label, total)

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[Progress]:
        """A bar from 0 to `total` units that vanishes when the block ends."""
        bar = self.bar(label, total)
        try:
            yield bar
        finally:
            bar.close()


class _Saying(logging.Handler):
    """Logging's way to a console."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.say(record.getMessage())


class Progress:
    """How far a piece of work is; drawn at most ten times a second."""

    def __init__(self, console: Console, label: str, total: int) -> None:
        self._console, self._label, self._total = console, label, max(total, 1)
        self._started_s = self._drawn_s = time.monotonic()

    def reach(self, done: int, note: str = "") -> None:
        """Moves to `done` units of the total; `note` is shown behind the bar."""
        now_s = time.monotonic()
        if now_s - self._drawn_s < (_REDRAW_EVERY_S if self._console.live else _LINE_EVERY_S):
            return
        self._drawn_s = now_s
        share = min(done / self._total, 1.0)
        if self._console.live:
            cells = "█" * int(share * _BAR_CELLS)
            text = f"\r\x1b[K{self._label} {cells:░<{_BAR_CELLS}} {share:4.0%} {note}"
        else:
            text = f"{self._label} {share:.0%} {note}\n"
        self._console.stream.write(text)
        self._console.stream.flush()

    def close(self) -> None:
        if self._console.live:
            self._console.stream.write("\r\x1b[K")
            self._console.stream.flush()
