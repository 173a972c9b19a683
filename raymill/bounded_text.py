"""A text of bounded size: lines are added at its end, and when it is full the middle goes.

It knows nothing of what the lines say. Several threads may add to it.
"""

from __future__ import annotations

import threading
from collections import deque

_LINE_CHARS = 8_000


class BoundedText:
    """The first and the last lines that were added, `first_chars` and `last_chars` of them at most.

    What lies between is counted; of a longer line than 8,000 characters, the first are kept.
    """

    def __init__(self, first_chars: int, last_chars: int) -> None:
        self._room, self._last_chars = first_chars, last_chars
        self._first: list[str] = []
        self._last: deque[str] = deque()
        self._held = self._lines_out = self._chars_out = 0
        self.lines = 0
        self._lock = threading.Lock()

    def add(self, line: str) -> None:
        """Adds a line, given without its end."""
        line = f"{_cut(line)}\n"
        with self._lock:
            self.lines += 1
            if not self._last and len(line) <= self._room:
                self._room -= len(line)
                self._first.append(line)
                return
            self._last.append(line)
            self._held += len(line)
            while self._held > self._last_chars:
                self._leave_out(self._last.popleft())

    def text(self) -> str:
        with self._lock:
            out = [f"... {self._lines_out:,} lines, {self._chars_out:,} characters, are left out here ...\n"]
            return "".join([*self._first, *(out if self._lines_out else []), *self._last])

    def _leave_out(self, line: str) -> None:
        self._held -= len(line)
        self._lines_out += 1
        self._chars_out += len(line)


def _cut(line: str) -> str:
    beyond = len(line) - _LINE_CHARS
    return f"{line[:_LINE_CHARS]}... and {beyond:,} characters" if beyond > 0 else line
