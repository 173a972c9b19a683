"""A bearer token: made once, shown once, and known from then on by its hash alone.

A token is 256 random bits, so that its SHA-256 can't be turned back and needs neither salt nor stretching (NIST SP
800-63B, 5.1.2.2). It knows no file and no HTTP.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field

_MARK = "raymill_"  # by which scanners of repositories and logs find a token that has leaked
_RANDOM_BYTES = 32
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_LINE = re.compile(rf"({NAME}):([0-9a-fA-F]{{64}})")


def new_token() -> str:
    """A token that nobody has seen yet, of letters, digits, `-` and `_`."""
    return f"{_MARK}{secrets.token_urlsafe(_RANDOM_BYTES)}"


def digest_of(token: bytes) -> bytes:
    """The 32 bytes that are kept of a token."""
    return hashlib.sha256(token).digest()


def line_of(name: str, token: str) -> str:
    """The line `NAME:SHA256` by which a token is admitted, and without which it isn't."""
    return f"{name}:{digest_of(token.encode()).hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLines:
    """The digests of the lines that say one, and what is wrong with each other line.

    Problems name a line by its number, never by what it holds: it may be a token.
    """

    digests: tuple[bytes, ...] = field(repr=False)
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> TokenLines:
        """Reads one `NAME:SHA256` a line; what follows a `#` is a comment."""
        digests: list[bytes] = []
        problems: list[str] = []
        names: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            said = line.partition("#")[0].strip()
            found = _LINE.fullmatch(said)
            if found is not None and names.setdefault(found[1], number) == number:
                digests.append(bytes.fromhex(found[2]))
            elif found is not None:
                problems.append(f"line {number} has the name of line {names[found[1]]}")
            elif said:
                problems.append(f"line {number} is no NAME:SHA256")
        return cls(digests=tuple(digests), problems=tuple(problems))
