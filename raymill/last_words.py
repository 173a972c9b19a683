"""Last words: of all that the workers of a job printed, the few lines that tell why one of them failed.

It knows how a line of workers.log names its process, how Ray Train says which process is which rank, and what a
traceback looks like. It is pure text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LINES = 5
_LINE = re.compile(r"\S+Z (?P<ip>\S+) pid (?P<pid>\d+) ?(?P<doing>[^:]*): (?P<text>.*)")
_RANK_OF = re.compile(r"\(ip=(?P<ip>\S+), pid=(?P<pid>\d+)\) world_rank=(?P<rank>\d+)")
_FAILED_RANK = re.compile(r"\[?\b[Rr]ank (\d+)\b")
_TRACEBACK = "Traceback (most recent call last):"
_CHAINED = ("The above exception was the direct cause", "During handling of the above exception")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWords:
    """A process that failed, by what is known of it, and what it said."""

    process: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Process:
    ip: str
    pid: str


def last_words(log: str, failures: Sequence[str]) -> LastWords | None:
    """What the rank that `failures` named last has said; without one, the last process that left a traceback."""
    said: dict[_Process, list[str]] = {}
    doing: dict[_Process, str] = {}
    ranks: dict[str, _Process] = {}
    for match in filter(None, map(_LINE.fullmatch, log.splitlines())):
        process = _Process(match["ip"], match["pid"])
        said.setdefault(process, []).append(match["text"])
        doing[process] = match["doing"]
        if started := _RANK_OF.search(match["text"]):
            ranks[started["rank"]] = _Process(started["ip"], started["pid"])
    failed = _failed(said, ranks, failures)
    if failed is None:
        return None
    rank = "".join(f", rank {rank}" for rank, of_rank in ranks.items() if of_rank == failed)
    name = f"{doing[failed] or 'process'} {failed.pid} on {failed.ip}{rank}"
    return LastWords(process=name, lines=tuple(_telling(said[failed])[-_LINES:]))


def _failed(said: dict[_Process, list[str]], ranks: dict[str, _Process], failures: Sequence[str]) -> _Process | None:
    named = [ranks[rank] for text in failures for rank in _FAILED_RANK.findall(text) if rank in ranks]
    if named and named[-1] in said:
        return named[-1]
    of_ranks = [process for process in said if process in ranks.values()]
    failed = [process for process in of_ranks or said if _TRACEBACK in said[process]]
    return failed[-1] if failed else None


def _telling(lines: list[str]) -> list[str]:
    """The end of a traceback, of the error that the others were raised from; without one, all lines."""
    starts = [number for number, line in enumerate(lines) if line == _TRACEBACK]
    if not starts:
        return lines
    first = starts[-1]
    for earlier in reversed(starts[:-1]):
        if not any(line.startswith(_CHAINED) for line in lines[earlier:first]):
            break
        first = earlier
    told: list[str] = []
    for line in lines[first + 1 :]:
        if line.strip(" ^~"):
            told.append(line)
        if not line.startswith(" "):
            break
    return told
