from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster.endpoint import Endpoint, _Overtaken, _url, _wait_until_public, deploy_version
from cluster.endpoint_arguments import APPLICATION
from cluster.endpoint_record import EndpointRecord, find, forget, health_of
from cluster.front import check_port
from cluster.sample import ask
from cluster.serve_failure import cause_of
from raymill.console import Console
from raymill.errors import DataError, InternalError, MachineError, RaymillError, ResourceError
from raymill.spec import Spec
from raymill.store import Store


@pytest.fixture
def healthy() -> Iterator[str]:
    """A server that says it is the endpoint `demo`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"name": "demo", "version": "1", "id": "e1"}).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def _record(url: str, name: str = "demo") -> EndpointRecord:
    return EndpointRecord(
        name=name,
        url=url,
        version="1",
        ray_address="a:1",
        pid=1,
        started="2026-01-01T00:00:00+00:00",
        args={"endpoint_id": "e1"},
    )


def test_a_running_endpoint_is_found_until_it_is_forgotten(tmp_path: Path, healthy: str) -> None:
    store = Store(str(tmp_path))
    assert find(store, "demo") is None
    _record(healthy).write(store)
    assert find(store, "demo") == _record(healthy)
    forget(store, "demo")
    forget(store, "demo")
    assert find(store, "demo") is None


def test_the_record_of_a_dead_endpoint_or_of_a_port_that_another_took_finds_nothing(
    tmp_path: Path, healthy: str
) -> None:
    store = Store(str(tmp_path))
    _record("http://127.0.0.1:9").write(store)
    assert find(store, "demo") is None
    _record(healthy, "other").write(store)
    assert find(store, "other") is None
    assert health_of("http://127.0.0.1:9") is None


def test_no_proxy_of_the_environment_is_asked_for_an_endpoint(healthy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert health_of(healthy) is not None
    with pytest.raises(MachineError, match="status 501"):  # by the server itself, which takes no POST
        ask(f"{healthy}/v1/demo/predict", [{"a": 1}], token="secret")


def test_a_namesake_from_another_store_is_not_this_endpoint(tmp_path: Path, healthy: str) -> None:
    store = Store(str(tmp_path))
    replace(_record(healthy), args={"endpoint_id": "of another start"}).write(store)
    assert find(store, "demo") is None


def test_only_the_record_of_the_ray_that_ends_is_forgotten(tmp_path: Path, healthy: str) -> None:
    store = Store(str(tmp_path))
    _record(healthy).write(store)
    forget(store, "demo", ray_address="another:1")
    assert find(store, "demo") is not None
    forget(store, "demo", ray_address="a:1")
    assert not store.exists("endpoints/demo.json")


def test_a_taken_port_is_refused_with_another_to_try(healthy: str) -> None:
    port = int(healthy.rsplit(":", 1)[1])
    with pytest.raises(ResourceError) as caught:
        check_port("127.0.0.1", port)
    assert str(port) in caught.value.what and f"serve.port={port + 1}" in caught.value.fix


def test_the_error_inside_serves_message_keeps_its_owner_and_both_sentences() -> None:
    message = (
        "The deployment failed to start 2 times in a row. Error:\n\x1b[36mray::ServeReplica:demo:model.initialize()\n"
        '  File "a.py", line 1, in load\n    raise _damaged(uri)\n'
        "raymill.errors.DataError: The bundle u can't be used: its weights don't match their digest.\n"
        "Train again, or name another version.\n\nThe above exception was the direct cause:\n\n"
        "RuntimeError: Traceback (most recent call last):\n  File b"
    )
    cause = cause_of(message)
    assert type(cause) is DataError
    assert cause.what == "The bundle u can't be used: its weights don't match their digest."
    assert cause.fix == "Train again, or name another version."


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("x\nModuleNotFoundError: No module named 'net'\n", "ModuleNotFoundError: No module named 'net'."),
        ("x\ntorch.cuda.OutOfMemoryError: no room\n", "OutOfMemoryError: no room."),
        ("other.DataError: not ours", "DataError: not ours."),
        ("it was undeployed", "it was undeployed."),
    ],
)
def test_any_other_cause_is_named_by_its_line(message: str, what: str) -> None:
    cause = cause_of(message)
    assert type(cause) is InternalError and cause.what == what


@pytest.mark.parametrize(
    ("serve", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"route": "/a/b", "port": 81}, "http://127.0.0.1:81/a/b"),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:8000"),
        ({"host": "::1"}, "http://[::1]:8000"),
        ({"tls": {"certificate": "c", "key": "k"}, "route": "/a"}, "https://127.0.0.1:8000/a"),
    ],
)
def test_the_url_is_one_that_can_be_typed(serve: dict[str, object], url: str) -> None:
    spec = {"name": "demo", "task": {"type": "regression", "target": "y"}, "data": {"source": "x"}, "serve": serve}
    assert _url(Spec.model_validate(spec)) == url


class StandingFront:
    def check(self) -> None:
        pass


@pytest.mark.parametrize(("was", "message"), [("old", "another deploy came after it"), ("theirs", "does not answer")])
def test_a_deploy_that_another_overtook_says_so_and_what_answered_before_is_waited_out(
    was: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.endpoint._PUBLIC_WITHIN_S", 0.3)
    monkeypatch.setattr("cluster.endpoint._status", lambda name: ("RUNNING", ""))
    told = {"name": "demo", "id": "e1", "configuration": "theirs"}
    monkeypatch.setattr("cluster.endpoint.health_of", lambda *_: told)
    args = {"name": "demo", "endpoint_id": "e1", "configuration": "ours"}
    endpoint = Endpoint(name="demo", url="http://here", version="2", changed=True, is_new=False)
    with pytest.raises(RaymillError, match=message) as caught:
        _wait_until_public(args, endpoint, StandingFront(), {"configuration": was})  # type: ignore[arg-type]
    assert isinstance(caught.value, _Overtaken) is (was == "old")


def test_what_somebody_else_deployed_is_not_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[dict[str, object]] = []

    def overtaken(*_: object) -> None:
        raise _Overtaken("Another deploy came after it.", "Look.")

    for name in ("require_usable", "check_resources", "_check_bundle", "_check_route"):
        monkeypatch.setattr(f"cluster.endpoint.{name}", lambda *_: "")
    monkeypatch.setattr("cluster.endpoint._status", lambda name: None)
    monkeypatch.setattr("cluster.endpoint._run", ran.append)
    monkeypatch.setattr("cluster.endpoint._wait_until_public", overtaken)
    monkeypatch.setattr("cluster.endpoint._undone", lambda *_: AssertionError("undone"))
    fields = {"name": "demo", "task": {"type": "regression", "target": "y"}, "data": {"source": "x"}}
    spec = Spec.model_validate(fields | {"store": str(tmp_path)})
    front = SimpleNamespace(wait_for_controller=lambda: None)
    with pytest.raises(_Overtaken):
        deploy_version(spec, version=2, bundle_uri="b", digest="d" * 64, console=Console(io.StringIO()), front=front)  # type: ignore[arg-type]
    assert len(ran) == 1


def test_the_application_is_named_by_string_and_is_there() -> None:
    from importlib import import_module

    module, function = APPLICATION.split(":")
    assert callable(getattr(import_module(module), function))
