"""MLflow's own HTTP API on SQLite, in a thread of the test's process, that can be away, or lose its answers."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.ports import free_port


class ShakyMlflow:
    """A WSGI application around MLflow's. `mood` decides what becomes of a request, by its method, path and words.

    "answered"; "refused": it never happened, and the answer is 503; "unheard": it happened, and the answer is 503;
    "denied": it never happened, and the answer is 401.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]], uri: str) -> None:
        self._application, self.uri = application, uri
        self.requests: list[str] = []
        self.mood: Callable[[str], str] = lambda request: "answered"

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        self.requests.append(request)
        mood = self.mood(request if request.startswith("PUT") else f"{request}?{environ['QUERY_STRING']} {body!r}")
        if mood == "answered":
            return self._application(environ, start_response)
        if mood == "unheard":
            list(self._application(environ, lambda *_: None))
        status = "401 Unauthorized" if mood == "denied" else "503 Service Unavailable"
        start_response(status, [("Content-Length", "0")])
        return []

    def unlucky(self, mood: str) -> None:
        """From now on each different request meets with this mood, until it is asked again."""
        asked: set[str] = set()

        def once(request: str) -> str:
            known = request in asked
            asked.add(request)
            return "answered" if known else mood

        self.mood = once

    def away(self) -> None:
        self.mood = lambda request: "refused"

    def back(self) -> None:
        self.mood = lambda request: "answered"


@contextmanager
def shaky_mlflow(folder: Path) -> Iterator[ShakyMlflow]:
    """A running one, its database and artifacts in a folder."""
    settings = {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/mlflow.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }
    os.environ.update(settings)
    from mlflow.server import app  # which reads them

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from werkzeug.serving import make_server

    port = free_port()
    shaky = ShakyMlflow(app, f"http://127.0.0.1:{port}")
    server = make_server("127.0.0.1", port, shaky, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield shaky
    finally:
        server.shutdown()
        thread.join()
        _forget(settings)


def _forget(settings: Iterable[str]) -> None:
    """Takes back what the server has set in this process: its own settings, and MLflow's URIs for all of it."""
    import mlflow

    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    for name in (*settings, "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
