"""What Ray prints to a driver's standard output whatever its logging is set to: the raylet's own remarks."""

from __future__ import annotations

import io
import re
from typing import TextIO

_RAYLET = re.compile(r"^(\x1b\[\d+m)?\((raylet|autoscaler|gcs_server)[,)\s]")


class WithoutRemarks(io.TextIOBase):
    """A text stream that passes on what is written, but for the raylet's remarks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._dropping = False

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text != "\n":
            self._dropping = bool(_RAYLET.match(text))
        if not self._dropping:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()
