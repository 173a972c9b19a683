"""Tokens: whether what a caller shows is one of those that an endpoint takes, as its file or variable says now.

It knows their hashes only, and no HTTP.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from pathlib import Path
from typing import Protocol

from raymill.bearer_token import TokenLines, digest_of
from raymill.token_place import digests_of_file, digests_of_variable, read_lines
from serving.arguments import TokensAt

logger = logging.getLogger("ray.serve")
_LOOK_EVERY_S = 1.0


class Admission(Protocol):
    def admits(self, token: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class Tokens:
    """A token is compared with every digest, whichever it is, so that the time it takes tells nothing."""

    digests: tuple[bytes, ...] = field(repr=False)

    def admits(self, token: bytes) -> bool:
        shown, found = digest_of(token), False
        for digest in self.digests:
            found |= compare_digest(digest, shown)
        return found


class TokenFile:
    """The tokens of a file as it is now: `watch` reads it again within a second of a change, beside all requests.

    A line that says nothing then admits nobody, and a file without lines admits nobody. One that can't be read tells
    nothing, so that it stays as it was, which is said once.
    """

    def __init__(self, path: str) -> None:
        """Raises DataError for a file that can't be read, or any line of which says nothing, or with none."""
        self._path, self._is_away = path, False
        self._tokens = Tokens(digests_of_file(path))
        self._seen: tuple[int, ...] = ()  # so that the first look finds what has changed since

    def admits(self, token: bytes) -> bool:
        return self._tokens.admits(token)

    def watch(self) -> None:
        """Looks at the file every second, in a thread that ends with the process."""
        threading.Thread(target=self._look_on, name="tokens", daemon=True).start()

    def look(self) -> None:
        """Reads the file where it is another one than it was."""
        try:
            seen = _state(self._path)
            if seen == self._seen:
                return
            lines = read_lines(self._path)
        except OSError as error:
            self._say_away(error)
            return
        self._seen, self._is_away = seen, False
        self._take(lines)

    def _say_away(self, error: OSError) -> None:
        if not self._is_away:
            logger.warning("the tokens' file %s can't be read (%s): it stays as it was", self._path, error.strerror)
        self._seen, self._is_away = (), True

    def _take(self, lines: TokenLines) -> None:
        tokens = Tokens(lines.digests)
        if tokens != self._tokens:
            logger.warning("the tokens' file %s has changed: it admits %d tokens", self._path, len(lines.digests))
        for problem in lines.problems:
            logger.warning("the tokens' file %s: %s, so that it admits nobody", self._path, problem)
        self._tokens = tokens

    def _look_on(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_S)
            self.look()


def admission_at(place: TokensAt, environ: Mapping[str, str] = os.environ) -> Admission:
    """The tokens at a place, watched where that is a file. Raises DataError where they can't be used, or are none."""
    if place.file is None:
        assert place.env is not None
        return Tokens(digests_of_variable(place.env, environ))
    file = TokenFile(place.file)
    file.watch()
    return file


def _state(path: str) -> tuple[int, ...]:
    """What changes when a file is written or replaced, or when what a link points to is."""
    found = Path(path).stat()
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
