"""A failure of MLflow's client: whether it may pass, so that the same may be asked again, and why, in one line.

It knows errors by what they carry and are called, and imports neither MLflow nor what lies under it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from raymill.loggable import without_userinfo

_REFUSED_STATUS = {401, 403}
_BUSY_STATUS = {408, 429, 500, 502, 503, 504}
# Of requests, urllib3, botocore and SQLAlchemy: no connection, one that broke, no answer in time, only busy answers.
_PASSING = {
    "ChunkedEncodingError",
    "ConnectionClosedError",
    "ConnectionError",
    "OperationalError",
    "RetryError",
    "Timeout",
    "TimeoutError",
}
_LASTING = {"SSLError", "InvalidURL"}
_STATUS_IN_TEXT = re.compile(r"failed with error code (\d{3})\b")
_ASIDE = "(raised as a result of Query-invoked autoflush"  # SQLAlchemy's first line, before the database's own
_CAUSE = re.compile(r"""\(Caused by \w+\(["'](?:\w+\(.*?\): )?(.*?)["']\)\)""")


def may_pass(error: BaseException) -> bool:
    """Whether a server, database or bucket was not there, did not answer or was too busy; not that it refused."""
    chain = list(_chain(error))
    names = {kind.__name__ for each in chain for kind in type(each).__mro__}
    if names & _LASTING:
        return False
    status = _status_of(chain)
    return status in _BUSY_STATUS if status is not None else bool(names & _PASSING)


def is_refused(error: BaseException) -> bool:
    """Whether the answer was that this user may not, as when a token has expired."""
    return _status_of(_chain(error)) in _REFUSED_STATUS


def gist(error: Exception) -> str:
    """Why it failed: the innermost cause that `requests` names, else the first line that says why; without secrets."""
    text = str(error).strip()
    cause = _CAUSE.search(text)
    said = [line for line in text.splitlines() if not line.startswith(_ASIDE)]
    lines = [cause[1]] if cause else said or [type(error).__name__]
    return without_userinfo(lines[0])[:300].rstrip(".")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status_of(chain: Iterable[BaseException]) -> int | None:
    return next((found for each in chain if (found := _status(each)) is not None), None)


def _status(error: BaseException) -> int | None:
    """The HTTP status of the answer that an error is about, if there was an answer."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # of boto3
        found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return found if isinstance(found, int) else None
    status = getattr(answer, "status_code", None)  # of requests
    if status is not None:
        return int(status)
    if hasattr(error, "json") and hasattr(error, "get_http_status_code"):  # what MLflow's server says as JSON
        return int(error.get_http_status_code())
    said = _STATUS_IN_TEXT.search(str(error))
    return int(said[1]) if said else None
