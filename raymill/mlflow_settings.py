"""How MLflow is made quiet and quick to fail, by its environment variables and loggers. It does not import it.

MLflow reads its variables at each request and takes them from nowhere else. They are set only while it is used, and
never over the user's own, so that processes started later don't inherit them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading

REQUEST_TIMEOUT_S = 15
_ASKING = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_TIMEOUT_S),  # MLflow's own is 120 s
    # Its own 7 take four minutes, and repeat what the server may have done already; raymill asks it first.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "AWS_MAX_ATTEMPTS": "1",  # of its clients of S3
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_IMPORT = {"MLFLOW_DISABLE_TELEMETRY": "true"}
_LOG_LEVELS = {
    "mlflow": logging.ERROR,
    "mlflow.store.db.utils": logging.CRITICAL,  # logs the traceback of an error that it also raises
    "alembic": logging.WARNING,
    "urllib3.connectionpool": logging.ERROR,
}


class _Environment:
    """Variables that are set while any thread is inside, unless the user set them."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values, self._lock, self._inside = values, threading.Lock(), 0
        self._added: list[str] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._added = [name for name in self._values if name not in os.environ]
                os.environ.update({name: self._values[name] for name in self._added})
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for name in self._added:
                    os.environ.pop(name, None)


_while_asking = _Environment(_ASKING)
_while_importing = _Environment(_IMPORT)


def impatience() -> contextlib.AbstractContextManager[None]:
    """Around a use of MLflow: a server that doesn't answer fails in 15 s, and prints no links."""
    return _while_asking


def no_telemetry() -> contextlib.AbstractContextManager[None]:
    """Around `import mlflow`, which decides once whether to report its use to its makers."""
    return _while_importing


def be_quiet() -> None:
    """Raises the levels of MLflow's loggers in this process; what it raises is translated and shown."""
    for logger, level in _LOG_LEVELS.items():
        logging.getLogger(logger).setLevel(level)
