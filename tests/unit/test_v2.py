"""The v2 protocol over HTTP, spoken by Triton's own client without a server between."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from starlette.responses import Response
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult

from raymill.schema import Schema
from raymill.task import Task
from serving.handler import Handler
from serving.refusal import Refusal
from serving.v2 import v2_routes
from tests.served import ALL_KINDS, POOL, PRICE, TWO_NUMBERS, YES_NO, arguments, ask, scoring, served

MODEL = "/v2/models/demo"
AB = {
    "a": np.array([0.25, 0.75, np.nan]),
    "b": np.array([1.0, 2.0, 3.0]),
}


def routes(schema: Schema = TWO_NUMBERS, task: Task = YES_NO) -> dict[str, tuple[str, Handler]]:
    model = served(schema, task)
    return v2_routes(arguments(), model, scoring(model), POOL)


def infer(body: bytes | dict[str, Any], schema: Schema = TWO_NUMBERS, task: Task = YES_NO, **headers: str) -> Response:
    return ask(routes(schema, task)[f"{MODEL}/infer"][1], body, **headers)


def inputs(columns: dict[str, np.ndarray], datatypes: dict[str, str], binary: bool) -> list[InferInput]:
    made = [InferInput(name, list(cells.shape), datatypes.get(name, "FP64")) for name, cells in columns.items()]
    return [each.set_data_from_numpy(cells, binary) for each, cells in zip(made, columns.values(), strict=True)]


def by_triton(
    columns: dict[str, np.ndarray],
    schema: Schema = TWO_NUMBERS,
    task: Task = YES_NO,
    binary: bool = True,
    datatypes: dict[str, str] | None = None,
    **asked: Any,
) -> InferResult:
    made = inputs(columns, datatypes or {}, binary)
    body, length = InferenceServerClient.generate_request_body(made, **asked)
    headers = {} if length is None else {"Inference_Header_Content_Length": str(length)}
    response = infer(body, schema, task, **headers)
    found = response.headers.get("inference-header-content-length")
    return InferenceServerClient.parse_response_body(response.body, header_length=found and int(found))


def test_tritons_client_sends_and_reads_binary_tensors_as_it_does_unless_told() -> None:
    result = by_triton(AB, request_id="42")
    assert result.as_numpy("prediction").tolist() == [b"no", b"yes", b"no"]
    assert result.as_numpy("probabilities").tolist() == [[0.75, 0.25], [0.25, 0.75], [1.0, 0.0]]
    assert result.get_response()["id"] == "42"
    assert (result.get_response()["model_name"], result.get_response()["model_version"]) == ("demo", "7")


def test_tritons_client_sends_and_reads_json_tensors() -> None:
    whole = {name: cells[:2] for name, cells in AB.items()}
    outputs = [InferRequestedOutput(name, binary_data=False) for name in ("probabilities", "prediction")]
    result = by_triton(whole, binary=False, outputs=outputs)
    assert [output["name"] for output in result.get_response()["outputs"]] == ["probabilities", "prediction"]
    assert result.as_numpy("probabilities").tolist() == [[0.75, 0.25], [0.25, 0.75]]
    assert result.get_output("prediction")["data"] == ["no", "yes"]


def test_an_output_is_binary_where_it_is_asked_to_be() -> None:
    outputs = [InferRequestedOutput("prediction", binary_data=False), InferRequestedOutput("probabilities")]
    result = by_triton(AB, outputs=outputs)
    assert result.get_output("prediction")["data"] == ["no", "yes", "no"]
    assert "data" not in result.get_output("probabilities")
    assert result.as_numpy("probabilities")[1].tolist() == [0.25, 0.75]


def test_only_the_outputs_that_are_asked_for_come() -> None:
    result = by_triton(AB, outputs=[InferRequestedOutput("prediction")])
    assert result.as_numpy("probabilities") is None
    assert result.as_numpy("prediction").tolist() == [b"no", b"yes", b"no"]


@pytest.mark.parametrize("binary", [True, False])
def test_a_column_of_each_kind_arrives(binary: bool) -> None:
    columns = {
        "size": np.array([0.5, 1.0], np.float32),
        "colour": np.array(["größer", ""], np.object_),
        "sold": np.array([True, False]),
        "at": np.array(["2026-01-01", "2026-01-01T12:00:00Z"], np.object_),
    }
    datatypes = {"size": "FP32", "colour": "BYTES", "sold": "BOOL", "at": "BYTES"}
    result = by_triton(columns, ALL_KINDS, binary=binary, datatypes=datatypes)
    assert result.as_numpy("probabilities").tolist() == [[0.5, 0.5], [0.0, 1.0]]


def test_a_regression_answers_with_its_values() -> None:
    result = by_triton(AB, task=PRICE)
    assert result.as_numpy("prediction").tolist() == [0.25, 0.75, 0.0]
    assert result.as_numpy("probabilities") is None


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
@pytest.mark.parametrize("name", ["input-0", "predict"])
def test_a_matrix_of_numbers_is_all_features_in_their_order(name: str, datatype: str) -> None:
    matrix = np.array([[0.25, 9], [0.75, 9]], np.float32 if datatype == "FP32" else np.float64)
    result = by_triton({name: matrix}, datatypes={name: datatype})
    assert result.as_numpy("probabilities")[:, 1].tolist() == [0.25, 0.75]


def json_request(*inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"inputs": list(inputs), **more}


def column(name: str, data: list[Any], **changes: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": "FP64", "data": data} | changes


def shares(response: Response) -> list[float]:
    outputs = {output["name"]: output for output in json.loads(response.body)["outputs"]}
    return outputs["probabilities"]["data"][1::2]


@pytest.mark.parametrize(
    "first",
    [
        column("a", [0.25, None], shape=[2, 1]),
        column("a", [[0.25], [None]], shape=[2, 1]),
        column("a", [0.25, None], parameters={"content_type": "np"}),
    ],
)
def test_a_null_is_a_missing_cell_and_a_column_may_have_two_dimensions(first: dict[str, Any]) -> None:
    asked = json_request(first, column("b", [1, 2]), id="x", parameters={"content_type": "pd", "anything": [1]})
    response = infer(asked)
    assert shares(response) == [0.25, 0.0]
    assert json.loads(response.body)["id"] == "x"
    assert response.headers["content-type"] == "application/json"


def test_a_matrix_may_be_nested() -> None:
    matrix = {"name": "input-0", "shape": [2, 2], "datatype": "FP64", "data": [[0.25, 1], [None, 2]]}
    assert shares(infer(json_request(matrix))) == [0.25, 0.0]


A, B = column("a", [0.5]), column("b", [1])


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (json_request(A), "There is no input 'b'; send a, b"),
        (json_request(A, B, column("bb", [1])), "Input 'bb': no feature; did you mean 'b'?"),
        (json_request(A, A, B), "An input is there twice"),
        (json_request(A, column("b", [1, 2])), "Input 'b': it has 2 rows, and 'a' has 1"),
        (json_request(A, column("b", [1, 2], shape=[1, 2])), "Input 'b': its shape is [1, 2]"),
        (json_request(A, column("b", [1, 2], shape=[3])), "its data has 2 cells, and its shape 3"),
        (json_request(A, column("b", [1], shape=[])), "its shape is []"),
        (json_request(A, column("b", [], shape=[0])), "its shape is [0]"),
        (json_request(A, column("b", [1], shape=[1, 1, 1])), "its shape is [1, 1, 1]"),
        (json_request(A, column("b", [[1], [2, 3]], shape=[2, 1])), "not every row of its data is an array of 1"),
        (json_request(A, column("b", ["1"])), "Input 'b': '1' is no FP64"),
        (json_request(A, column("b", [True])), "Input 'b': True is no FP64"),
        (json_request(A, column("b", [1.5], datatype="INT64")), "Input 'b': 1.5 is no INT64"),
        (json_request(A, column("b", [300], datatype="UINT8")), "Input 'b': a cell is no UINT8"),
        (json_request(A, column("b", [1], datatype="FP8")), "the datatype 'FP8' is none of BOOL, INT8"),
        (json_request(A, {**B, "data": 5}), "its data is no array"),
        (json_request(A, column("b", ["wide"], datatype="BYTES")), "Column 'b' is a number"),
        (json_request({"name": "in", "shape": [1, 3], "datatype": "FP64", "data": [1, 2, 3]}), "2 columns"),
        (json_request(A, B, outputs=[{"name": "other"}]), "There is no output 'other'; there are prediction"),
        (json_request(A, B, outputs=[{"name": "prediction"}] * 2), "An output is asked for twice"),
        (json_request(), "inputs: List should have at least 1 item"),
        (json_request(A, B, input=[]), "input: Extra inputs are not permitted"),
        (b"[]", "This is no v2 request: the body: It must be an object."),
        ({"inputs": [3]}, "inputs.0: It must be an object."),
        ({"inputs": [{**A, "shape": ["1"]}]}, "inputs.0.shape.0: Input should be a valid integer"),
        (
            json_request(A, B, outputs=[{"name": "prediction", "parameters": {"classification": 2}}]),
            "outputs.0.parameters.classification: Input should be None",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_named(request_: bytes | dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as refused:
        infer(request_)
    assert refused.value.status == 400
    assert said in refused.value.error


def test_one_matrix_is_refused_where_a_feature_is_no_number() -> None:
    with pytest.raises(Refusal, match="'colour' is no number; send an input per feature"):
        by_triton({"input-0": np.zeros((2, 4))}, ALL_KINDS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda body, length: (body + b"x", length), "48 bytes of binary data by their sizes, and the body 49"),
        (lambda body, length: (body[:-1], length), "3 cells of FP64 are 24 bytes, not 23"),
        (lambda body, length: (body, len(body) + 1), "inference-header-content-length is"),
        (lambda body, length: (body, "-1"), "inference-header-content-length is '-1'"),
    ],
)
def test_binary_data_of_another_size_is_refused(change: Any, said: str) -> None:
    body, length = change(*InferenceServerClient.generate_request_body(inputs(AB, {}, binary=True)))
    with pytest.raises(Refusal, match=said):
        infer(body, Inference_Header_Content_Length=str(length))


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(Refusal) as refused:
        infer(json_request(column("a", [], shape=[10**9])))
    assert refused.value.status == 413


def test_metadata_names_the_tensors() -> None:
    method, handler = routes(ALL_KINDS)[MODEL]
    assert method == "GET"
    assert json.loads(ask(handler).body) == {
        "name": "demo",
        "versions": ["7"],
        "platform": "raymill",
        "inputs": [
            {"name": "size", "datatype": "FP64", "shape": [-1]},
            {"name": "colour", "datatype": "BYTES", "shape": [-1]},
            {"name": "sold", "datatype": "BOOL", "shape": [-1]},
            {"name": "at", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "prediction", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
        ],
        "properties": {"classes": '["no", "yes"]'},
    }


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        (f"{MODEL}/ready", {"name": "demo", "ready": True}),
        (f"{MODEL}/versions/7/ready", {"name": "demo", "ready": True}),
    ],
)
def test_health_is_told(path: str, said: dict[str, Any]) -> None:
    assert json.loads(ask(routes()[path][1]).body) == said


def test_the_server_names_the_extension_that_it_speaks() -> None:
    assert json.loads(ask(routes()["/v2"][1]).body)["extensions"] == ["binary_tensor_data"]


def test_a_version_may_be_named() -> None:
    assert routes().keys() >= {f"{MODEL}/versions/7", f"{MODEL}/versions/7/infer"}
