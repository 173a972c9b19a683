"""How MLflow is made quiet and quick to fail, by its environment variables and loggers. It does not import it.

MLflow reads its variables at each request and takes them from nowhere else. They are set once, never over the user's
own, and stay: to take one away while another thread walks through the environment would be an error there.
"""

from __future__ import annotations

import logging
import os

REQUEST_TIMEOUT_S = 15
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_TIMEOUT_S),  # MLflow's own is 120 s
    # Its own 7 take four minutes, and repeat what the server may have done already; raymill asks it first.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "AWS_MAX_ATTEMPTS": "1",  # of its clients of S3
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_LOG_LEVELS = {
    "mlflow": logging.ERROR,
    "mlflow.store.db.utils": logging.CRITICAL,  # logs the traceback of an error that it also raises
    "alembic": logging.WARNING,
    "urllib3.connectionpool": logging.ERROR,
}


def be_impatient() -> None:
    """Before MLflow is imported: a server that doesn't answer fails in 15 s, and nobody is told that MLflow is used."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


def be_quiet() -> None:
    """Raises the levels of MLflow's loggers in this process; what it raises is translated and shown."""
    for logger, level in _LOG_LEVELS.items():
        logging.getLogger(logger).setLevel(level)
