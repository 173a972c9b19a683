"""An API server over HTTP for the real client: a few objects by their paths, what it was asked, and ways to fail."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

_WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
UID = {"uid": "u", "creationTimestamp": "2026-11-26T12:00:00Z"}


@dataclass
class ApiServer:
    """`objects` by path; `asked` is (method, path, query, content type); `failing` are answers given first.

    `runs` is what a command in a pod prints, and the status that it ends with; None where none may be run.
    """

    port: int = 0
    objects: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    failing: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    log: list[bytes] = field(default_factory=list)
    cuts_the_log: bool = False
    runs: tuple[str, dict[str, Any]] | None = None

    def kubeconfig(self, folder: Path, **context: str) -> Path:
        """A user's configuration for it, with a token."""
        path = folder / "kubeconfig"
        here = {"cluster": "c", "user": "u", **context}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": here}],
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
        }
        path.write_text(yaml.safe_dump(content))
        return path


@contextmanager
def api_server() -> Iterator[ApiServer]:
    server = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def handle_one(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(url.query))
            server.asked.append((self.command, url.path, query, self.headers.get("content-type", "")))
            if (length := int(self.headers.get("content-length") or 0)) > 0:
                server.bodies.append(json.loads(self.rfile.read(length)))
            assert self.headers["authorization"] == "Bearer secret"
            if server.failing:
                self._json(*server.failing.pop(0))
            elif url.path.endswith("/exec") and server.runs is not None:
                self._run(*server.runs)
            elif url.path.endswith("/log"):
                self._log()
            elif self.command == "PATCH":
                server.objects[url.path] = made = server.bodies[-1] | {"metadata": server.bodies[-1]["metadata"] | UID}
                self._json(200, made)
            elif url.path in server.objects:
                found = server.objects[url.path]
                if self.command == "DELETE":
                    del server.objects[url.path]
                self._json(200, found)
            else:
                self._json(404, {"message": f"{url.path} not found"})

        do_GET = do_PATCH = do_DELETE = handle_one

        def _json(self, code: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _run(self, said: str, status: dict[str, Any]) -> None:
            """Over a WebSocket: each message begins with its channel, 1 for output and 3 for how it ended."""
            key = f"{self.headers['sec-websocket-key']}{_WEBSOCKET}".encode()
            self.send_response(101)
            self.send_header("upgrade", "websocket")
            self.send_header("connection", "upgrade")
            self.send_header("sec-websocket-protocol", "v4.channel.k8s.io")
            self.send_header("sec-websocket-accept", base64.b64encode(hashlib.sha1(key).digest()).decode())
            self.end_headers()
            for message in (b"\x01" + said.encode(), b"\x03" + json.dumps(status).encode()):
                self.wfile.write(b"\x82" + bytes([126]) + len(message).to_bytes(2, "big") + message)
            self.wfile.write(b"\x88\x02\x03\xe8")
            self.close_connection = True

        def _log(self) -> None:
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for part in server.log:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            if server.cuts_the_log:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.port = listening.server_port
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
