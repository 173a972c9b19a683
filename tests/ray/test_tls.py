"""An endpoint that speaks TLS and takes tokens, in a session of its own: another proxy stands in front of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.certificate import trusting
from cluster.endpoint_record import EndpointRecord, find
from raymill.bearer_token import line_of, new_token
from raymill.safety_spec import TlsSpec
from raymill.store import Store
from tests.certificates import HOST, leaf, write

PREDICT = "/v1/demo/predict"
ROW = json.dumps({"row": {"a": 1.5}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A process that serves and what is known of it; `token` may ask as long as its line is in the file."""

    child: subprocess.Popen[str]
    tls: TlsSpec
    tokens: Path
    token: str
    record: EndpointRecord

    def ask(self, method: str, path: str, body: str | None = None, token: str = "") -> tuple[int, dict[str, str], Any]:
        address = self.record.url.removeprefix("https://")
        connection = http.client.HTTPSConnection(address, timeout=30, context=trusting(self.record.certificate))
        connection.request(method, path, body, {"authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, json.loads(answer.read())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("tls")
    tls, tokens, token = write(folder, leaf()), folder / "tokens", new_token()
    tokens.write_text(line_of("me", token))
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    child = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(folder), str(_free_port()), tls.certificate, tls.key, str(tokens)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=own | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        assert child.stderr is not None
        said = child.stderr.readline()
        assert "is served at https://127.0.0.1:" in said, said + child.stderr.read()
        record = find(Store(str(folder / "store")), "demo")
        assert record is not None
        yield Served(child=child, tls=tls, tokens=tokens, token=token, record=record)
    finally:
        os.killpg(child.pid, signal.SIGINT)
        child.wait(timeout=60)


def test_the_certificate_of_the_spec_is_served_and_a_client_that_trusts_it_is_answered(served: Served) -> None:
    context = ssl.create_default_context(cafile=served.tls.certificate)
    port = int(served.record.url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    assert shown == ssl.PEM_cert_to_DER_cert(Path(served.tls.certificate).read_text())
    status, _, answer = served.ask("POST", PREDICT, ROW, served.token)
    assert (status, answer["model"]) == (200, {"name": "demo", "version": "1"})


def test_nothing_is_answered_in_clear(served: Served) -> None:
    connection = http.client.HTTPConnection(served.record.url.removeprefix("https://"), timeout=30)
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.request("GET", "/healthz")
        connection.getresponse()


def test_without_a_token_there_is_401_on_everything_but_health(served: Served) -> None:
    assert served.ask("GET", "/healthz")[0] == 200
    for path in ("/v1/demo", "/openapi.json", "/nowhere"):
        status, headers, answer = served.ask("GET", path)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert answer.keys() == {"error", "request_id"}
    assert served.ask("GET", "/v1/demo", token=new_token())[0] == 401
    assert served.ask("GET", "/v1/demo", token=served.token)[0] == 200


def test_an_answer_names_no_version_of_any_software(served: Served) -> None:
    _, headers, _ = served.ask("GET", "/healthz")
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert not any(letter.isdigit() for letter in headers.get("server", ""))


def test_a_token_is_revoked_without_a_deploy(served: Served) -> None:
    other = new_token()
    new = served.tokens.with_name("new")
    new.write_text(line_of("other", other))
    new.rename(served.tokens)
    deadline_s = time.monotonic() + 10
    while served.ask("GET", "/v1/demo", token=other)[0] != 200:
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.1)
    assert served.ask("GET", "/v1/demo", token=served.token)[0] == 401


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_SERVE = """
import sys
from pathlib import Path
from cluster.endpoint import deploy_version, hold
from cluster.session import open_session
from raymill.console import Console
from raymill.spec import Spec
from tests.bundles import write_bundle
folder, port, certificate, key, tokens = sys.argv[1:]
spec = Spec.model_validate({
    "name": "demo",
    "task": {"type": "classification", "target": "y"},
    "data": {"source": "nowhere.csv"},
    "store": str(Path(folder) / "store"),
    "serve": {"port": int(port), "tokens": {"file": tokens}, "tls": {"certificate": certificate, "key": key}},
})
uri, console = str(Path(folder) / "bundle"), Console()
digest = write_bundle(uri, 1)
with open_session(console, needs_serve=True, tls=True):
    deploy_version(spec, version=1, bundle_uri=uri, digest=digest, console=console)
    hold(spec, console)
"""
