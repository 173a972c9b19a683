"""The command `raymill token new`: a token for one caller of endpoints, and the line by which they admit it."""

from __future__ import annotations

import argparse
import re
from typing import Any

from cluster.output import Output
from raymill.bearer_token import NAME, line_of, new_token
from raymill.console import Console
from raymill.errors import SpecError


def new(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """Prints the line, which may be appended to a file, and shows the token, which nothing keeps."""
    if not re.fullmatch(NAME, arguments.name):
        raise SpecError(
            f"{arguments.name!r} can't name a token.", "Use letters, digits, `.`, `_` and `-`, and 63 of them at most."
        )
    token = new_token()
    console.say(f"token     {token}")
    console.say("          It is shown this once: give it to who asks, as Authorization: Bearer TOKEN.")
    console.say("          The next line is for the file that serve.tokens names, and tells nobody the token.")
    output.text(f"{line_of(arguments.name, token)}\n")
    return {}
