"""An endpoint that KServe's and Triton's clients find, over HTTP and gRPC, in a session of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from raymill.predictor import Predictor
from tests.ports import free_port

ROWS = {"a": np.array([1.5, -2.0]), "b": np.array([np.nan, 0.25]), "color": np.array(["red", "blue"], np.object_)}


class Served:
    """A process that serves a version, and another one when a line comes in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.http, self.grpc = folder, free_port(), free_port()
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.child = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(folder), str(self.http), str(self.grpc)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=own | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        self.wait_for_version()

    def wait_for_version(self) -> None:
        assert self.child.stderr is not None
        said = self.child.stderr.readline()
        assert f"and by gRPC on port {self.grpc}" in said, said + self.child.stderr.read()

    def next_version(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write("next\n")
        self.child.stdin.flush()
        self.wait_for_version()

    def client(self) -> tritonclient.grpc.InferenceServerClient:
        return tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{self.grpc}")

    def stop(self) -> None:
        os.killpg(self.child.pid, signal.SIGINT)
        self.child.wait(timeout=60)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("grpc"))
    try:
        yield served
    finally:
        served.stop()


def inputs(protocol: type[tritonclient.grpc.InferInput] | type[tritonclient.http.InferInput]) -> list[object]:
    made = [protocol(name, [2], "BYTES" if name == "color" else "FP64") for name in ROWS]
    return [each.set_data_from_numpy(cells) for each, cells in zip(made, ROWS.values(), strict=True)]


def expected(folder: Path) -> np.ndarray:
    predictor = Predictor.load(str(folder / "bundle-1"))
    rows = [{"a": 1.5, "color": "red"}, {"a": -2, "b": 0.25, "color": "blue"}]
    return predictor.predict(predictor.schema.table_from_rows(rows))


def test_tritons_clients_are_answered_by_both_protocols_with_nothing_set_but_the_address(served: Served) -> None:
    over_grpc = served.client()
    over_http = tritonclient.http.InferenceServerClient(f"127.0.0.1:{served.http}")
    for client, protocol in ((over_grpc, tritonclient.grpc), (over_http, tritonclient.http)):
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("demo", "1")
        result = client.infer("demo", inputs(protocol.InferInput))
        assert result.as_numpy("probabilities") == pytest.approx(expected(served.folder), abs=1e-6)
    with pytest.raises(InferenceServerException, match="There is no model 'other' here; there is 'demo' version '1'"):
        over_grpc.infer("other", inputs(tritonclient.grpc.InferInput))
    with pytest.raises(InferenceServerException, match="UNIMPLEMENTED"):
        over_grpc.get_model_config("demo")


def test_a_message_beyond_the_limit_is_refused_before_it_is_read(served: Served) -> None:
    large = tritonclient.grpc.InferInput("color", [1], "BYTES")
    large.set_data_from_numpy(np.array([b"x" * (18 << 20)], np.object_))
    with pytest.raises(InferenceServerException, match=r"RESOURCE_EXHAUSTED.*larger than max"):
        served.client().infer("demo", [large])


def test_other_machines_are_not_answered_by_a_replica_though_serve_listens_to_them(served: Served) -> None:
    address = next(
        (each.address for found in psutil.net_if_addrs().values() for each in found if _is_in_the_network(each)), None
    )
    if address is None:
        pytest.skip("this machine is in no network")
    open_to_all = [
        connection.laddr.port
        for process in psutil.Process(served.child.pid).children(recursive=True)
        for connection in process.net_connections("tcp")
        if process.name().startswith("ray::ServeReplica") and connection.laddr.ip == "::"
    ]
    answers = {_status_at(f"{address}:{port}") for port in open_to_all}
    assert "PERMISSION_DENIED" in answers
    assert "OK" not in answers


def _is_in_the_network(each: object) -> bool:
    return getattr(each, "family", 0).name == "AF_INET" and not getattr(each, "address", "").startswith("127.")


def _status_at(address: str) -> str:
    client = tritonclient.grpc.InferenceServerClient(address)
    try:
        client.infer("demo", inputs(tritonclient.grpc.InferInput), client_timeout=5)
    except InferenceServerException as error:
        return str(error.status()).removeprefix("StatusCode.")
    return "OK"


def test_a_version_changes_without_a_failed_call(served: Served) -> None:
    failed: list[str] = []
    seen: set[str] = set()
    ended = threading.Event()

    def ask() -> None:
        client, rows = served.client(), inputs(tritonclient.grpc.InferInput)
        while not ended.wait(0.01):
            try:
                seen.add(client.infer("demo", rows).get_response().model_version)
            except InferenceServerException as error:
                failed.append(str(error))

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        served.next_version()
        while "2" not in seen:
            assert not ended.wait(0.1)
    finally:
        ended.set()
        for thread in asking:
            thread.join()
    assert (failed, seen) == ([], {"1", "2"})


_SERVE = """
import sys
from pathlib import Path
from cluster.endpoint import deploy_version
from cluster.session import open_session
from raymill.console import Console
from raymill.spec import Spec
from tests.bundles import write_bundle
folder, port, grpc_port = sys.argv[1:]
spec = Spec.model_validate({
    "name": "demo",
    "task": {"type": "classification", "target": "y"},
    "data": {"source": "nowhere.csv"},
    "store": str(Path(folder) / "store"),
    "serve": {"port": int(port), "grpc_port": int(grpc_port)},
})
with open_session(Console(), needs_serve=True):
    for version in (1, 2):
        uri = str(Path(folder) / f"bundle-{version}")
        digest = write_bundle(uri, version)
        deploy_version(spec, version=version, bundle_uri=uri, digest=digest, console=Console())
        sys.stdin.readline()
"""
