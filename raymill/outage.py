"""An outage: a store or tracker that is away for a while, which is waited for, and what that looks like in an error.

It knows errors and time, neither what is done there nor how it is reached. Whatever it repeats must be
repeatable: a whole read, a whole write, a listing, a delete.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from raymill.bucket import Unanswered

WAITS_S = 120.0
LOGGER = "raymill.store"
# What `Outages` says of a place that is away, or back, at the end of a line.
SAID = re.compile(r"(?P<place>\S+://\S+) is (?P<state>away|back) (?:\(|after ).*$")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
# pyarrow's words (its errors are plain OSErrors) for what may pass: no connection, or an answer that says "not now".
_PASSES = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT|THROTTLING)\b"
    r"|AWS Error UNKNOWN \(HTTP status (408|429|500|502|503|504)\)"
)
# curl's numbers for certificates that don't fit.
_CERTIFICATE = re.compile(r"curlCode: (51|58|60|77)\b")
_T = TypeVar("_T")


def is_away(error: OSError) -> bool:
    """Whether an error says that a bucket's service can't be reached or is too busy, so that it may be back later."""
    if isinstance(error, Unanswered):
        return True
    text = str(error)
    return bool(_PASSES.search(text)) and not _CERTIFICATE.search(text)


def reason_of(error: OSError) -> str:
    """What an error says, without the parts of pyarrow's and curl's texts that repeat it."""
    text = str(error).rstrip(".")
    return text.partition("; Details: ")[2] or text


class Outages:
    """Which places are away, as this process sees it: said once when one goes, and once when it is back."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._since_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def away(self, place: str, since_s: float, reason: str, then: str, how: str = "is away") -> None:
        """`then` is what is done about it; a place that is there and takes nothing may be said to be so."""
        with self._lock:
            if place not in self._since_s:
                self._since_s[place] = since_s
                self._say(f"{place} {how} ({reason}); {then}")

    def given_up(self, place: str) -> None:
        """Whoever waits for it next says so again."""
        with self._lock:
            self._since_s.pop(place, None)

    def back(self, place: str) -> None:
        if place in self._since_s:
            with self._lock:
                since_s = self._since_s.pop(place, None)
            if since_s is not None:
                self._say(f"{place} is back after {time.monotonic() - since_s:.0f} s")


_OUTAGES = Outages(logging.getLogger(LOGGER).warning)


def patiently(action: Callable[[], _T], place: str, waits_s: float = WAITS_S, outages: Outages = _OUTAGES) -> _T:
    """What a repeatable action returns, tried again while its place is away, for so many seconds.

    Raises the action's own OSError at once if waiting can't mend it, and one that says how long it was waited.
    """
    since_s, pause_s, tries = time.monotonic(), _FIRST_PAUSE_S, 0
    while True:
        try:
            result = action()
        except OSError as error:
            if not is_away(error) or waits_s <= 0:
                raise
            waited_s = time.monotonic() - since_s
            if waited_s + pause_s > waits_s:
                outages.given_up(place)
                raise Unanswered(f"it has been away for {waited_s:.0f} s, {error}") from error
            tries += 1
            if tries > 1:
                outages.away(place, since_s, reason_of(error), f"waiting for it for up to {waits_s:.0f} s")
            time.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        else:
            outages.back(place)
            return result
