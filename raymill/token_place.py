"""The place of an endpoint's tokens: a file or a variable of the environment, the same on every node, with their lines.

What is wrong with it is said without what it holds.
"""

from __future__ import annotations

import platform
import stat
from collections.abc import Mapping
from pathlib import Path

from raymill.bearer_token import TokenLines
from raymill.errors import DataError

_MAKE_ONE = "`raymill token new NAME` prints a token, and the line for it."


def digests_of_file(path: str) -> tuple[bytes, ...]:
    """The digests of a file all of whose lines say one. Raises DataError for any other."""
    here = platform.node()
    try:
        lines, may = read_lines(path), Path(path).stat().st_mode
    except OSError as error:
        what = f"The tokens' file {path} can't be read on {here}: {error.strerror}."
        raise DataError(what, f"Put it there, on every node. {_MAKE_ONE}") from error
    if may & stat.S_IWOTH:
        raise DataError(f"Everybody on {here} may write the tokens' file {path}.", f"Type `chmod o-w {path}`.")
    return _required(lines, f"file {path}")


def digests_of_variable(name: str, environ: Mapping[str, str]) -> tuple[bytes, ...]:
    """As for a file, of what a variable holds."""
    return _required(TokenLines.read(environ.get(name, "")), f"variable {name}")


def read_lines(path: str) -> TokenLines:
    """What a file says now. Raises OSError."""
    return TokenLines.read(Path(path).read_bytes().decode(errors="replace"))


def _required(lines: TokenLines, what: str) -> tuple[bytes, ...]:
    if lines.problems:
        raise DataError(f"The tokens' {what} can't be used: {'; '.join(lines.problems[:3])}.", _MAKE_ONE)
    if not lines.digests:
        raise DataError(f"The tokens' {what} on {platform.node()} holds no token, so that nobody may ask.", _MAKE_ONE)
    return lines.digests
