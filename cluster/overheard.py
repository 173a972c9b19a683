"""What this process prints beside its console, as a network of the user's own does that is trained here."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TextIO

_PART_CHARS = 8_000


class Overheard(io.TextIOBase):
    """A text stream that passes on what is written, and calls `hear` with each whole line of it."""

    def __init__(self, stream: TextIO, hear: Callable[[str], None]) -> None:
        self._stream, self._hear = stream, hear
        self._part = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        self._stream.write(text)
        *lines, part = f"{self._part}{text}".split("\n")
        self._part = _drawn_last(part)[-_PART_CHARS:]
        for line in lines:
            self._hear(_drawn_last(line))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def _drawn_last(line: str) -> str:
    """What a line shows that was drawn over itself, as progress bars do."""
    return line.rstrip("\r").rpartition("\r")[2]
