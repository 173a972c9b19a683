"""Reach: whether this process can write the store and be answered by the tracker, asked before anything else is done.

Both are asked at once. On a cluster this is the job's own process: what its head reaches, a laptop may not, and the
other way round. Other nodes are not asked one by one: a worker takes seconds to start, and the first piece of work on
each reads and writes the store at once, so that it says the same no later.
"""

from __future__ import annotations

import http.client
import os
import platform
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import raymill
from cluster.session import cluster_of
from cluster.submission import SUBMITTED_BY
from raymill.errors import RaymillError, ResourceError, StoreError, TrackerError
from raymill.loggable import without_userinfo
from raymill.store import Store

_ANSWERS_WITHIN_S = 5.0
_PAUSE_S = 0.5
_TRIES = 2


def require_reached(store: Store, tracking: str | None) -> None:
    """Raises StoreError or TrackerError, or one for both, where either can't be used from here.

    Raises ResourceError in a submitted job that another raymill has handed over.
    """
    _require_same_raymill(os.environ)
    checks: list[Callable[[], None]] = [store.check]
    if tracking is not None and tracking.startswith(("http://", "https://")):
        checks.append(lambda: require_answer(tracking))
    with ThreadPoolExecutor(len(checks), thread_name_prefix="reach") as pool:
        problems = [found for found in pool.map(_problem, checks) if found is not None]
    if problems:
        raise one_error(problems, _place(os.environ)) from problems[0]


def require_writable(uri: str) -> None:
    """Raises StoreError where a folder or prefix can't be written; a folder that isn't there is not made for it."""
    store = Store(uri)
    if store.is_local:
        try:
            store = Store(str(next(place for place in (Path(store.uri), *Path(store.uri).parents) if place.exists())))
        except PermissionError as error:
            raise StoreError(f"{uri} can't be looked at: {error.strerror}.", "Name a folder of your own.") from error
    store.check()


def require_answer(uri: str) -> None:
    """Raises TrackerError where nobody answers at an MLflow server's address; any answer but a failure will do."""
    place = without_userinfo(uri).rstrip("/")
    for left in reversed(range(_TRIES)):
        try:
            urllib.request.urlopen(f"{place}/health", timeout=_ANSWERS_WITHIN_S).close()
            return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return  # a gateway's own mind about /health
            reason: object = f"it answers {error.code}"
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLError):
                return  # somebody answers, and MLflow may be told to trust them
        if left:
            time.sleep(_PAUSE_S)
    raise TrackerError(
        f"MLflow at {place} doesn't answer: {' '.join(str(reason).split())}.",
        "Start it, or correct `tracking` in the spec; then type the command again, which continues.",
    )


def one_error(problems: list[RaymillError], place: str) -> RaymillError:
    """One error for one or both problems, of the first one's kind; `place` names from where, if that isn't here."""
    what, fix = (" ".join(dict.fromkeys(getattr(problem, part) for problem in problems)) for part in ("what", "fix"))
    return type(problems[0])(f"{place}{what}", fix)


def _problem(check: Callable[[], None]) -> RaymillError | None:
    try:
        check()
    except (StoreError, TrackerError) as error:
        return error
    return None


def _place(environ: Mapping[str, str]) -> str:
    return f"From {platform.node()}, where the job runs on the cluster: " if cluster_of(environ) else ""


def _require_same_raymill(environ: Mapping[str, str]) -> None:
    theirs = environ.get(SUBMITTED_BY, raymill.__version__)
    if theirs != raymill.__version__:
        raise ResourceError(
            f"This job was handed over by raymill {theirs}, and the cluster's image has raymill {raymill.__version__}.",
            "Give the cluster an image with the raymill that you type the command with.",
        )
