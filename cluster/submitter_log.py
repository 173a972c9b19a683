"""The log of the pod that hands a job over: what `ray job` says about it, and in between what the job says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_OF_RAY = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\t(INFO|SUCC|WARN|ERR) \w+\.py:\d+ -- |Waiting for Ray Dashboard "
)


def whole_lines(parts: Iterable[bytes]) -> Iterator[str]:
    """The lines of what comes in parts; what stands behind the last end of a line is one, too, once all has come."""
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in whole)
    if rest:
        yield rest.decode(errors="replace")


def lines_of_the_job(lines: Iterable[str], id: str) -> Iterator[str]:
    """The lines that the job itself has printed; Ray repeats the last of them behind its verdict."""
    ended = re.compile(
        rf"cli\.py:\d+ -- (Job '{re.escape(id)}' (succeeded|failed|was stopped)|Status for job '{re.escape(id)}')"
    )
    for line in lines:
        if not _OF_RAY.match(line):
            yield line
        elif ended.search(_COLOUR.sub("", line)):
            return
