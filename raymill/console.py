"""What the user sees while a job runs: plain lines, and progress bars where a terminal shows them.

A listener, such as the record of a job, hears the same, and what is noted for it alone.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
import time
from collections.abc import Iterator
from typing import Protocol, TextIO

from raymill.loggable import without_userinfo
from raymill.meter import Meter

_REDRAW_EVERY_S = 0.1
_LINE_EVERY_S = 10.0
_BAR_CELLS = 24
FULL = (errno.ENOSPC, errno.EDQUOT)


class Listener(Protocol):
    """What hears a console: `kind` is `said` for a line that is shown, and says what is noted otherwise."""

    def hear(self, kind: str, text: str) -> None: ...


class Console:
    """Writes lines to one stream; a progress bar redraws itself on a terminal and is a line every 10 s elsewhere.

    Its meter hears the numbers of the job that it is handed to.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.meter = Meter()
        self._listener: Listener | None = None

    def say(self, text: str) -> None:
        """Prints one finished line; no URI in it shows a password."""
        text = without_userinfo(text)
        self.write(f"\r\x1b[K{text}\n" if self.live else f"{text}\n")
        self.note("said", text)

    def write(self, text: str) -> None:
        """Shows a text as it is; the work goes on also where a terminal is closed, or the disk below a file is full."""
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError as error:
            if not self.live and error.errno not in FULL:
                raise

    def note(self, kind: str, text: str) -> None:
        """Tells the listener, if there is one, and shows nothing: `run` names a run that is worked on."""
        listener = self._listener  # another thread's line may come while it goes
        if listener is not None:
            listener.hear(kind, text)

    @property
    def is_heard(self) -> bool:
        return self._listener is not None

    @contextlib.contextmanager
    def heard_by(self, listener: Listener) -> Iterator[None]:
        """Lets a listener hear, while the block runs, what is said and noted."""
        self._listener = listener
        try:
            yield
        finally:
            self._listener = None

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
    """How far a piece of work is; drawn at most ten times a second, said to who listens every 10 s."""

    def __init__(self, console: Console, label: str, total: int) -> None:
        self._console, self._label, self._total = console, label, max(total, 1)
        self._drawn_s = self._said_s = time.monotonic()

    def reach(self, done: int, note: str = "") -> None:
        """Moves to `done` units of the total; `note` is shown behind the bar."""
        now_s, share = time.monotonic(), min(done / self._total, 1.0)
        if now_s - self._said_s >= _LINE_EVERY_S:
            self._said_s = now_s
            self._say(f"{self._label} {share:.0%} {note}")
        if self._console.live and now_s - self._drawn_s >= _REDRAW_EVERY_S:
            self._drawn_s = now_s
            cells = "█" * int(share * _BAR_CELLS)
            self._console.write(f"\r\x1b[K{self._label} {cells:░<{_BAR_CELLS}} {share:4.0%} {note}")

    def _say(self, line: str) -> None:
        if self._console.live:
            self._console.note("said", line)
        else:
            self._console.say(line)

    def close(self) -> None:
        if self._console.live:
            self._console.write("\r\x1b[K")
