"""The v2 protocol over gRPC, spoken by Triton's own client with a server in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, InferResult, service_pb2
from tritonclient.utils import InferenceServerException

from raymill.schema import Column, Schema
from raymill.task import Task
from serving.grpc_guard import GrpcGuard
from serving.open_inference import ModelMetadataResponse, add_service
from serving.refusal import Refusal
from serving.scored import Score, Scored
from serving.v2_grpc import V2Grpc, V2Methods
from tests.served import ALL_KINDS, POOL, PRICE, TWO_NUMBERS, YES_NO, arguments, scoring, served

AB = {"a": np.array([0.25, 0.75, np.nan]), "b": np.array([1.0, 2.0, 3.0])}


class Replica(V2Methods):
    def __init__(self, v2: V2Grpc) -> None:
        self.v2 = v2


class Server:
    """A grpc.aio server in a thread of its own."""

    def __init__(self, v2: V2Grpc) -> None:
        self._v2, self._loop, self._up = v2, asyncio.new_event_loop(), threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        self._up.wait(10)

    async def _serve(self) -> None:
        server = grpc.aio.server()
        add_service(Replica(self._v2), server)
        self.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self._stopping = asyncio.Event()
        self._up.set()
        await self._stopping.wait()
        await server.stop(None)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()


class Admits:
    def admits(self, token: bytes) -> bool:
        return token == b"secret"


@dataclass(frozen=True)
class From:
    """A caller without metadata."""

    address: str

    def peer(self) -> str:
        return self.address

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        return []


Connect = Callable[..., InferenceServerClient]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """A client of a server of its own."""
    servers: list[Server] = []

    def make(
        schema: Schema = TWO_NUMBERS, task: Task = YES_NO, score: Score | None = None, **changes: Any
    ) -> InferenceServerClient:
        how = {name: changes.pop(name) for name in ("admission", "answered") if name in changes}
        model = served(schema, task)
        servers.append(Server(V2Grpc(arguments(**changes), model, score or scoring(model), POOL, **how)))
        return InferenceServerClient(f"127.0.0.1:{servers[-1].port}")

    yield make
    for server in servers:
        server.stop()


def tensors(columns: dict[str, np.ndarray], **datatypes: str) -> list[InferInput]:
    made = [InferInput(name, list(cells.shape), datatypes.get(name, "FP64")) for name, cells in columns.items()]
    return [each.set_data_from_numpy(cells) for each, cells in zip(made, columns.values(), strict=True)]


def test_tritons_client_finds_the_model_and_is_answered(connect: Connect) -> None:
    client = connect()
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("demo")
    assert client.is_model_ready("demo", "7")
    result = client.infer("demo", tensors(AB), request_id="42")
    assert result.as_numpy("prediction").tolist() == [b"no", b"yes", b"no"]
    assert result.as_numpy("probabilities").tolist() == [[0.75, 0.25], [0.25, 0.75], [1.0, 0.0]]
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("42", "demo", "7")


def test_only_the_outputs_that_are_asked_for_come(connect: Connect) -> None:
    result = connect().infer("demo", tensors(AB), outputs=[InferRequestedOutput("probabilities")])
    assert result.as_numpy("prediction") is None
    assert result.as_numpy("probabilities")[1].tolist() == [0.25, 0.75]


def test_a_column_of_each_kind_arrives(connect: Connect) -> None:
    columns = {
        "size": np.array([0.5, 1.0], np.float32),
        "colour": np.array(["größer", ""], np.object_),
        "sold": np.array([True, False]),
        "at": np.array(["2026-01-01", "2026-01-01T12:00:00Z"], np.object_),
    }
    given = tensors(columns, size="FP32", colour="BYTES", sold="BOOL", at="BYTES")
    assert connect(ALL_KINDS).infer("demo", given).as_numpy("probabilities")[:, 1].tolist() == [0.5, 1.0]


def test_a_matrix_of_numbers_is_all_features_and_a_regression_answers_with_values(connect: Connect) -> None:
    result = connect(task=PRICE).infer("demo", tensors({"input-0": np.array([[0.5, 9], [1.5, 9]])}))
    assert result.as_numpy("prediction").tolist() == [0.5, 1.5]


def test_metadata_names_the_tensors(connect: Connect) -> None:
    client = connect()
    assert client.get_server_metadata().extensions == ["binary_tensor_data"]
    found = client.get_model_metadata("demo")
    assert [(each.name, each.datatype, list(each.shape)) for each in found.inputs] == [
        ("a", "FP64", [-1]),
        ("b", "FP64", [-1]),
    ]
    outputs = [(each.name, list(each.shape)) for each in found.outputs]
    assert outputs == [("prediction", [-1]), ("probabilities", [-1, 2])]
    # A field that KServe's proto has, and Triton's not.
    ours = ModelMetadataResponse.FromString(found.SerializeToString())
    assert ours.properties["classes"] == '["no", "yes"]'


def contents(**fields: Any) -> service_pb2.ModelInferRequest:
    """A request whose cells lie in typed fields, as others than Triton's client write them."""
    request = service_pb2.ModelInferRequest(model_name="demo")
    for name, (datatype, values) in fields.items():
        field, cells = values
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[len(cells)])
        getattr(tensor.contents, field).extend(cells)
    return request


TYPED = {
    "size": ("INT32", ("int_contents", [1, 0])),
    "colour": ("BYTES", ("bytes_contents", ["größer".encode(), b""])),
    "sold": ("BOOL", ("bool_contents", [True, False])),
    "at": ("BYTES", ("bytes_contents", [b"2026-01-01", b"2026-01-02"])),
}


def test_cells_in_typed_fields_are_read_and_answered_alike(connect: Connect) -> None:
    client = connect(ALL_KINDS)
    response = client._client_stub.ModelInfer(contents(**TYPED))
    assert not response.raw_output_contents
    assert response.outputs[0].contents.bytes_contents == [b"yes", b"no"]
    assert response.outputs[1].contents.fp64_contents == [0, 1, 1, 0]


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises((InferenceServerException, grpc.RpcError)) as raised:
        call()
    error = raised.value
    if isinstance(error, grpc.RpcError):
        return error.code().name, error.details()
    return error.status().removeprefix("StatusCode."), error.message()


@pytest.mark.parametrize(
    ("model", "version", "status", "said"),
    [
        ("other", "", "NOT_FOUND", "There is no model 'other' here; there is 'demo' version '7'."),
        ("demo", "8", "NOT_FOUND", "There is no model 'demo' version '8' here"),
    ],
)
def test_another_model_is_not_found(connect: Connect, model: str, version: str, status: str, said: str) -> None:
    client = connect()
    for call in (
        lambda: client.infer(model, tensors(AB), version),
        lambda: client.get_model_metadata(model, version),
        lambda: client.is_model_ready(model, version),
    ):
        found = refusal(call)
        assert found[0] == status
        assert found[1].startswith(said)


def test_what_does_not_fit_is_an_invalid_argument(connect: Connect) -> None:
    client = connect()
    absent = refusal(lambda: client.infer("demo", tensors({"a": AB["a"]})))
    assert absent == ("INVALID_ARGUMENT", "There is no input 'b'; send a, b, with null for a gap.")
    status, said = refusal(lambda: client.infer("demo", tensors(AB), outputs=[InferRequestedOutput("x")]))
    assert (status, said) == ("INVALID_ARGUMENT", "There is no output 'x'; there are prediction, probabilities.")
    asked = [InferRequestedOutput("prediction", class_count=1)]
    status, said = refusal(lambda: client.infer("demo", tensors(AB), outputs=asked))
    assert "'classification' of 'prediction' is not served" in said


def raw_for_one(request: service_pb2.ModelInferRequest) -> None:
    request.raw_input_contents.append(b"12345678")


def cells_in_another_field(request: service_pb2.ModelInferRequest) -> None:
    request.inputs[0].contents.fp64_contents.append(1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (raw_for_one, "There are 1 raw contents for 4 inputs; send one for each, or none."),
        (cells_in_another_field, "Input 'size': its cells are in fp64_contents; those of INT32 go in int_contents."),
        (lambda request: request.ClearField("inputs"), "There are no inputs."),
        (lambda request: request.inputs[0].shape.append(2), "Input 'size': its data has 2 cells, and its shape 4."),
    ],
)
def test_messages_that_contradict_themselves_are_refused(connect: Connect, change: Any, said: str) -> None:
    client, request = connect(ALL_KINDS), contents(**TYPED)
    change(request)
    assert refusal(lambda: client._client_stub.ModelInfer(request)) == ("INVALID_ARGUMENT", said)


def test_a_refusal_that_names_many_columns_of_any_script_arrives(connect: Connect) -> None:
    wide = Schema(columns=tuple(Column(name="列" * 10 + str(place), kind="number") for place in range(200)))
    status, said = refusal(lambda: connect(wide).infer("demo", tensors(AB)))
    assert status == "INVALID_ARGUMENT" and said.startswith("Input 'a': no feature; the model takes 列")


def test_all_but_health_asks_for_a_token(connect: Connect) -> None:
    client = connect(admission=Admits())
    assert client.is_server_live()
    assert client.is_server_ready()
    assert refusal(lambda: client.get_server_metadata())[0] == "UNAUTHENTICATED"
    wrong = {"authorization": "Bearer wrong"}
    assert refusal(lambda: client.infer("demo", tensors(AB), headers=wrong))[0] == "UNAUTHENTICATED"
    right = {"authorization": "Bearer secret"}
    assert len(client.infer("demo", tensors(AB), headers=right).as_numpy("prediction")) == 3


def test_an_endpoint_on_loopback_answers_its_own_machine_only(connect: Connect) -> None:
    assert connect(grpc_loopback_only=True).is_server_live()
    guard = GrpcGuard(loopback_only=True, admission=None)
    for peer in ("ipv4:127.0.0.1:5", "ipv6:%5B::1%5D:5", "ipv6:[::1]:5", "ipv6:[::ffff:127.0.0.1]:5", "unix:/tmp/s"):
        guard.check("ModelInfer", From(peer))
    for peer in ("ipv4:192.0.2.7:5", "ipv6:[2001:db8::1]:5", "ipv6:[::ffff:192.0.2.7]:5", "", "ipv4:elsewhere:5"):
        with pytest.raises(Refusal, match="its own machine only"):
            guard.check("ServerLive", From(peer))


def test_every_call_is_counted_with_its_status_over_http(connect: Connect) -> None:
    seen: list[int] = []
    client = connect(answered=lambda status, seconds: seen.append(status))
    client.infer("demo", tensors(AB))
    refusal(lambda: client.infer("other", tensors(AB)))
    refusal(lambda: client.infer("demo", tensors({"a": AB["a"]})))
    assert seen == [200, 404, 400]


def test_what_takes_longer_than_the_deadline_is_ended(connect: Connect) -> None:
    async def score(table: pa.Table, request_id: str) -> Scored:
        await asyncio.sleep(60)
        raise AssertionError

    client = connect(score=score, deadline_s=0.05)
    status, said = refusal(lambda: client.infer("demo", tensors(AB)))
    assert (status, said) == ("DEADLINE_EXCEEDED", "No answer within 0.05 seconds; send fewer rows, or ask later.")


def test_our_fault_shows_nothing_but_the_request_id(connect: Connect) -> None:
    async def score(table: pa.Table, request_id: str) -> Scored:
        raise RuntimeError("secret /path")

    client = connect(score=score)
    status, said = refusal(lambda: client.infer("demo", tensors(AB), headers={"x-request-id": "id-1"}))
    assert (status, said) == ("INTERNAL", "This is our fault; the log names it by id-1.")


def test_a_message_that_is_too_large_is_refused(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.v2_grpc.MOST_BYTES", 50)
    client = connect()
    assert refusal(lambda: client.infer("demo", tensors(AB)))[0] == "RESOURCE_EXHAUSTED"


def test_a_large_message_is_read_beside_the_event_loop(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.apart.MOST_BYTES_INLINE", 10)
    result: InferResult = connect().infer("demo", tensors(AB))
    assert result.as_numpy("prediction").tolist() == [b"no", b"yes", b"no"]
