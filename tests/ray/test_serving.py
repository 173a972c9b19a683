"""An endpoint on embedded Ray, as its users and its owner meet it."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.endpoint import Endpoint, deploy_version, find, hold, undeploy
from cluster.releasing import Standing, promote, release, roll_back
from cluster.session import Session, check_resources
from raymill.console import Console
from raymill.errors import DataError, ResourceError, StoreError
from raymill.predictor import Predictor
from raymill.registry import Registry, Version
from raymill.spec import Spec
from raymill.store import Store
from tests.bundles import CLASSES, write_bundle
from tests.callers import Callers

# A write, a look each second, and the requests after it; of a machine that is busy with other things too.
_ROLLED_BACK_WITHIN_S = 10
ROW = {"a": 1.5, "b": None, "color": "red"}


@dataclass
class World:
    """One session, and bundles by version number."""

    folder: Path
    port: int
    session: Session
    said: io.StringIO
    digests: dict[int, str] = field(default_factory=dict)

    @property
    def console(self) -> Console:
        return Console(self.said)

    def bundle(self, version: int) -> dict[str, Any]:
        uri = str(self.folder / f"bundle-{version}")
        if version not in self.digests:
            self.digests[version] = write_bundle(uri, version)
        return {"version": version, "bundle_uri": uri, "digest": self.digests[version]}

    def spec(self, name: str = "demo", **serve: Any) -> Spec:
        return _spec(self.folder, self.port, name, **serve)

    def deploy(self, version: int, **overrides: Any) -> Endpoint:
        return deploy_version(self.spec(), console=self.console, **self.bundle(version) | overrides)


def _spec(folder: Path, port: int, name: str = "demo", **serve: Any) -> Spec:
    return Spec.model_validate(
        {
            "name": name,
            "task": {"type": "classification", "target": "y"},
            "data": {"source": "nowhere.csv"},
            "store": str(folder / "store"),
            "tracking": "http://127.0.0.1:9",
            "serve": {"port": port} | serve,
        }
    )


@pytest.fixture(scope="module")
def world(ray_session: Session, tmp_path_factory: pytest.TempPathFactory, serve_port: int) -> World:
    return World(tmp_path_factory.mktemp("serving"), serve_port, ray_session, io.StringIO())


@pytest.fixture(scope="module")
def endpoint(world: World) -> Endpoint:
    return world.deploy(1)


def test_an_answer_over_http_is_the_predictors_own(world: World, endpoint: Endpoint) -> None:
    rows = [ROW, {"a": -2, "b": 0.25, "color": "blue"}, {}]
    status, _, answer = _ask(endpoint, "POST", "/v1/demo/predict", {"rows": rows})
    predictor = Predictor.load(world.bundle(1)["bundle_uri"])
    scores = predictor.predict(predictor.schema.table_from_rows(rows))
    assert status == 200
    assert [[p["probabilities"][label] for label in CLASSES] for p in answer["predictions"]] == pytest.approx(scores)
    assert [p["prediction"] for p in answer["predictions"]] == [CLASSES[i] for i in scores.argmax(axis=1)]
    assert answer["model"] == {"name": "demo", "version": "1"}


def test_a_request_id_comes_back_in_the_answer_and_once_in_its_header(endpoint: Endpoint) -> None:
    _, headers, answer = _ask(endpoint, "POST", "/v1/demo/predict", {"row": ROW}, {"x-request-id": "mine"})
    assert answer["request_id"] == "mine"
    assert [value for name, value in headers if name.lower() == "x-request-id"] == ["mine"]
    _, headers, answer = _ask(endpoint, "POST", "/v1/demo/predict", {"row": ROW})
    assert dict(headers)["x-request-id"] == answer["request_id"] != ""


def test_other_machines_reach_what_ray_has_no_setting_against_and_nothing_else(endpoint: Endpoint) -> None:
    # HAProxy is another process for a moment whenever it learns of a replica.
    _wait(lambda: _open_to_others() == Counter({"haproxy": 2, "ray::ServeReplica:demo:model": 1}))


def test_a_bad_row_is_named(endpoint: Endpoint) -> None:
    status, _, answer = _ask(endpoint, "POST", "/v1/demo/predict", {"rows": [ROW, {"a": "x", "colour": "red"}]})
    assert status == 422
    assert {(e["row"], e["column"]) for e in answer["errors"]} == {(1, "a"), (1, "colour")}


def test_the_model_card_shows_lineage_and_no_place(endpoint: Endpoint) -> None:
    status, _, card = _ask(endpoint, "GET", "/v1/demo")
    assert (status, card["version"], card["classes"], card["lineage"]["run"]) == (200, "1", list(CLASSES), "run-1")
    assert "secret" not in json.dumps(card)


def test_the_same_version_again_is_no_work(world: World, endpoint: Endpoint) -> None:
    assert world.deploy(1).changed is False
    assert "already served" in world.said.getvalue()


def test_a_route_belongs_to_one_name(world: World, endpoint: Endpoint) -> None:
    with pytest.raises(ResourceError, match="belongs to demo"):
        deploy_version(world.spec("other"), console=world.console, **world.bundle(1))
    with pytest.raises(ResourceError, match="listens on"):
        deploy_version(_spec(world.folder, world.port + 1, "other"), console=world.console, **world.bundle(1))


def test_a_bundle_that_is_not_the_named_one_is_refused_before_anything_starts(world: World, endpoint: Endpoint) -> None:
    with pytest.raises(DataError, match="digest"):
        world.deploy(2, digest="0" * 64)
    with pytest.raises(StoreError, match="no-such"):
        world.deploy(2, bundle_uri=str(world.folder / "no-such"))


def test_a_version_that_can_not_start_leaves_the_old_one_serving(world: World, endpoint: Endpoint) -> None:
    broken = world.bundle(9)
    (Path(broken["bundle_uri"]) / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"Version 9 of demo did not start: .*weights") as caught:
        world.deploy(9)
    assert "Version 1 still answers" in caught.value.fix
    assert _ask(endpoint, "POST", "/v1/demo/predict", {"row": ROW})[2]["model"]["version"] == "1"
    assert world.deploy(1).changed is False


def test_two_changes_of_version_fail_no_request(world: World, endpoint: Endpoint) -> None:
    with _Hammer(endpoint) as hammer:
        for version in (2, 3):
            world.deploy(version)
            hammer.wait_for(str(version))
    assert hammer.failures == []
    assert set(hammer.versions) == {"1", "2", "3"}


def test_another_process_finds_and_joins_the_session(world: World, endpoint: Endpoint) -> None:
    record = find(Store(str(world.folder / "store")), "demo")
    assert record is not None and record.ray_address == world.session.address
    joined = _python(_DEPLOY_FROM_ELSEWHERE, world, "4")
    assert joined.returncode == 0, joined.stderr
    assert joined.stdout == "" and "joined" in joined.stderr and "Traceback" not in joined.stderr
    _wait(lambda: _ask(endpoint, "GET", "/healthz")[2]["version"] == "4")


def test_a_canary_is_moved_rolled_back_and_promoted_without_a_failed_request(
    world: World, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    champions = _champion(world, monkeypatch, 6)
    with _Hammer(endpoint) as hammer:
        release(world.spec(), world.console, share=0.3, shadow=False)
        hammer.wait_for("6")
        release(world.spec(), world.console, share=1.0, shadow=False)
        hammer.wait_for("6", more=300)
        began_s, before = time.monotonic(), hammer.versions["4"]
        roll_back(world.spec(), world.console)
        _wait(lambda: hammer.versions["4"] > before + 50)
        assert time.monotonic() - began_s < _ROLLED_BACK_WITHIN_S
        assert champions == [4]
        release(world.spec(), world.console, share=0.5, shadow=True)
        _wait(lambda: Standing.of(world.spec()).report.candidate.pairs > 20)
        promote(world.spec(), world.console)
        hammer.wait_for("6", more=hammer.versions["6"] + 50)
    assert hammer.failures == [] and set(hammer.versions) == {"4", "6"}
    record = find(Store(str(world.folder / "store")), "demo")
    assert record is not None and record.version == "6"


def test_a_candidate_that_can_not_be_loaded_ends_its_release(
    world: World, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    champions = _champion(world, monkeypatch, 7)
    (Path(world.bundle(7)["bundle_uri"]) / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"Version 7 of demo can't be loaded: .*weights"):
        release(world.spec(), world.console, share=0.3, shadow=False)
    standing = Standing.of(world.spec())
    assert standing.release.state == "rolled_back" and "weights" in standing.release.reason
    roll_back(world.spec(), world.console)  # which leaves the version that is served to be champion again
    assert champions == [int(standing.release.stable)]
    with pytest.raises(ResourceError, match="No version of demo is being released"):
        roll_back(world.spec(), world.console)
    assert _ask(endpoint, "POST", "/v1/demo/predict", {"row": ROW})[2]["model"]["version"] == standing.release.stable


def test_a_second_model_has_its_own_route(world: World, endpoint: Endpoint) -> None:
    other = deploy_version(world.spec("other", route="/other"), console=world.console, **world.bundle(5))
    assert _ask(other, "POST", "/v1/other/predict", {"row": ROW})[2]["model"] == {"name": "other", "version": "5"}
    assert _ask(other, "GET", "/v1/demo")[0] == 404
    assert _ask(endpoint, "GET", "/healthz")[2]["name"] == "demo"


def test_undeploy_takes_an_endpoint_and_its_record_and_ends_the_foreground(world: World, endpoint: Endpoint) -> None:
    for name in ("other", "demo"):
        undeploy(world.spec(name), world.console)
        assert find(Store(str(world.folder / "store")), name) is None
    hold(world.spec(), world.console)
    assert "no endpoint is left" in world.said.getvalue()
    with pytest.raises(ResourceError, match="No endpoint demo"):
        undeploy(world.spec(), world.console)


def test_what_no_node_has_is_refused(world: World) -> None:
    check_resources(0.5, 0)
    with pytest.raises(ResourceError, match="and 1 GPU,"):
        check_resources(1, 1)


def test_a_taken_port_is_named_with_the_way_out(world: World) -> None:
    done = _python(_TAKE_THE_PORT, world, "")
    assert done.returncode == 2, done.stderr
    assert "serve.port=" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl_c", "sigterm"])
def test_a_signal_ends_the_foreground_quietly_and_leaves_nothing_running(world: World, number: int) -> None:
    port = _free_port()
    child = _start(_HOLD, world, str(port))
    try:
        assert child.stderr is not None
        lines = [child.stderr.readline()]
        while "is served at" not in lines[-1]:
            assert lines[-1], f"the foreground ended before it served: {''.join(lines)}"
            lines.append(child.stderr.readline())
        time.sleep(1)  # the line comes just before the foreground begins to listen for signals
        os.killpg(child.pid, number)  # as a terminal does it: to Ray's processes too
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
    assert (child.returncode, out, err) == (0, "", "")
    assert f"127.0.0.1:{port}" not in _haproxy_configurations()
    assert find(Store(str(world.folder / "store-of-a-child")), "demo") is None


def _open_to_others() -> Counter[str]:
    """How many ports each of the session's processes has open beyond loopback, by the processes' names."""
    found = Counter[str]()
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            ports = {
                (connection.laddr.ip, connection.laddr.port)
                for connection in process.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
            found[process.name()] += sum(ip.removeprefix("::ffff:") != "127.0.0.1" for ip, _ in ports)
    return +found


def _champion(world: World, monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """From now on that version is the champion, and an alias that is given away is noted."""
    given: list[int] = []
    bundle = world.bundle(number)
    version = Version(
        name="demo", number=number, bundle_uri=bundle["bundle_uri"], digest=bundle["digest"], run_id="run"
    )
    monkeypatch.setattr("cluster.releasing.find_champion", lambda spec, waits_s: version)
    monkeypatch.setattr(Registry, "__init__", lambda self, uri: None)
    monkeypatch.setattr(Registry, "set_alias", lambda self, name, alias, to: given.append(to))
    monkeypatch.setattr(
        Registry, "alias", lambda self, name, alias: replace(version, number=given[-1]) if given else version
    )
    return given


class _Hammer(Callers):
    """Two clients, one of them with a kept connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(2)
        self.versions: Counter[str] = Counter()
        self.failures: list[Any] = []
        self._endpoint = endpoint

    def wait_for(self, version: str, more: int = 20) -> None:
        _wait(lambda: self.versions[version] > more or self.failures)

    def _call(self, number: int) -> None:
        kept, connection = number == 0, _connection(self._endpoint)
        while not self._stop.wait(0.005):
            connection = connection if kept else _connection(self._endpoint)
            try:
                connection.request("POST", "/v1/demo/predict", json.dumps({"row": ROW}))
                answer = connection.getresponse()
                body = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(error)
                return
            if answer.status != 200:
                self.failures.append((answer.status, body))
                return
            self.versions[body["model"]["version"]] += 1


def _connection(endpoint: Endpoint) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(endpoint.url.removeprefix("http://").split("/")[0], timeout=30)


def _ask(
    endpoint: Endpoint, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, list[tuple[str, str]], Any]:
    connection = _connection(endpoint)
    route = endpoint.url.removeprefix("http://").partition("/")[2]
    prefix = f"/{route}" if route else ""
    connection.request(method, prefix + path, None if body is None else json.dumps(body), headers or {})
    answer = connection.getresponse()
    return answer.status, answer.getheaders(), json.loads(answer.read())


def _wait(true: Any, within_s: float = 30) -> None:
    deadline_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _haproxy_configurations() -> str:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    configurations = [Path(word) for word in listed.split() if word.endswith("haproxy.cfg")]
    return "\n".join(path.read_text() for path in configurations if path.exists())


_HEAD = """
import sys
from pathlib import Path
from cluster.endpoint import deploy_version, find, hold
from cluster.session import open_session
from raymill.console import Console
from raymill.errors import RaymillError
from raymill.store import Store
from tests.ray.test_serving import _spec
from tests.bundles import write_bundle
folder, port, extra = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
spec, console = _spec(folder, port), Console()
"""
_DEPLOY_FROM_ELSEWHERE = f"""{_HEAD}
digest = write_bundle(str(folder / "bundle-4"), 4)
live = find(Store(spec.store), spec.name)
with open_session(console, needs_serve=True, join=live.ray_address):
    deploy_version(spec, version=4, bundle_uri=str(folder / "bundle-4"), digest=digest, console=console)
"""
_TAKE_THE_PORT = f"""{_HEAD}
from cluster.front import check_port
import socket
with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    try:
        check_port("127.0.0.1", taken.getsockname()[1])
    except RaymillError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""
_HOLD = f"""{_HEAD}
spec = spec.model_copy(update={{"store": str(folder / "store-of-a-child")}})
spec = spec.model_copy(update={{"serve": spec.serve.model_copy(update={{"port": int(extra)}})}})
uri = str(folder / "bundle-of-a-child")
digest = write_bundle(uri, 1)
with open_session(console, needs_serve=True):
    deploy_version(spec, version=1, bundle_uri=uri, digest=digest, console=console)
    hold(spec, console)
"""


def _command(program: str, world: World, extra: str) -> list[str]:
    return [sys.executable, "-c", program, str(world.folder), str(world.port), extra]


def _start(program: str, world: World, extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(program, world, extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    """That of a terminal of its own: without what the session of these tests has set for its children."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return own | {"PYTHONPATH": str(Path(__file__).parents[2])}


def _python(program: str, world: World, extra: str) -> subprocess.CompletedProcess[str]:
    child = _start(program, world, extra)
    out, err = child.communicate(timeout=120)
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)
