"""What an OpenAPI document says of the v2 protocol: its paths for one model, and the schemas that they name."""

from __future__ import annotations

from typing import Any

from raymill.schema import Schema
from raymill.task import Task
from serving.datatype import DATATYPES
from serving.outputs import output_names
from serving.v2_body import JSON_LENGTH, RAW

_TEXT, _WHOLE, _FLAG, _FREE = ({"type": kind} for kind in ("string", "integer", "boolean", "object"))
_TENSOR = {"name": _TEXT, "datatype": _TEXT, "shape": {"type": "array", "items": _WHOLE}}
_SENT = _TENSOR | {
    "datatype": {"enum": list(DATATYPES)},
    "shape": {"type": "array", "minItems": 1, "maxItems": 2, "items": _WHOLE | {"minimum": 1}},
}
_DATA = {"type": "array", "description": "in row-major order, flat or an array per row; null is a missing cell"}
_RAW = {RAW: {"schema": {"type": "string", "contentMediaType": RAW}}}
_REFUSED = {
    "400": "no v2 request, or tensors that don't fit the model",
    "413": "too large",
    "415": "a Content-Encoding",
    "422": "a key that is twice in an object",
    "500": "our fault",
}
_LENGTH = {
    "name": JSON_LENGTH,
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "minimum": 0},
    "description": "bytes of JSON before the raw tensors of Triton's binary extension",
}


def v2_paths(name: str, version: str, example: dict[str, Any]) -> dict[str, Any]:
    """The operations by path; `example` is an inference."""
    path = f"/v2/models/{name}"
    return {
        f"{path}/infer": {"post": _infer(f"{path}/versions/{version}/infer", example)},
        path: {"get": _get("v2Model", "The model's tensors", _ref("V2Model"))},
        f"{path}/ready": {"get": _get("v2ModelReady", "Whether the model answers", _object(name=_TEXT, ready=_FLAG))},
        "/v2": {"get": _get("v2Server", "The server's version and extensions", _FREE)},
        "/v2/health/live": {"get": _get("v2Live", "Whether the server runs", _object(live=_FLAG))},
        "/v2/health/ready": {"get": _get("v2Ready", "Whether the server answers", _object(ready=_FLAG))},
    }


def v2_schemas(schema: Schema, task: Task) -> dict[str, Any]:
    """The schemas by name."""
    sent = _closed(["name", "datatype", "shape"], **_SENT, data=_DATA, parameters=_FREE)
    wanted = _closed(["name"], name={"enum": list(output_names(task))}, parameters=_FREE)
    inputs = {
        "type": "array",
        "minItems": 1,
        "items": sent,
        "description": f"one of shape [rows] or [rows, 1] for each of {', '.join(schema.kinds)}",
    }
    return {
        "V2Request": _closed(["inputs"], id=_TEXT, inputs=inputs, outputs=_array(wanted), parameters=_FREE),
        "V2Response": _object(model_name=_TEXT, model_version=_TEXT, outputs=_array(_object(**_TENSOR))),
        "V2Model": _object(name=_TEXT, platform=_TEXT, inputs=_array(_FREE), outputs=_array(_FREE)),
    }


def v2_example(metadata: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """An inference of one row, for a model of that metadata."""
    return {"inputs": [each | {"shape": [1], "data": [row.get(each["name"])]} for each in metadata["inputs"]]}


def _infer(versioned: str, example: dict[str, Any]) -> dict[str, Any]:
    asked = {"application/json": {"schema": _ref("V2Request"), "example": example}, **_RAW}
    answered = {"application/json": {"schema": _ref("V2Response")}, **_RAW}
    return {
        "operationId": "v2Infer",
        "summary": "Predictions by the Open Inference Protocol v2, as KServe's and Triton's clients ask",
        "description": f"Also at {versioned}.",
        "parameters": [_LENGTH],
        "requestBody": {"required": True, "content": asked},
        "responses": {"200": {"description": "the output tensors", "content": answered}}
        | {status: {"description": why, "content": _json(_ref("Error"))} for status, why in _REFUSED.items()},
    }


def _get(operation: str, summary: str, answer: dict[str, Any]) -> dict[str, Any]:
    responses = {"200": {"description": summary, "content": _json(answer)}}
    return {"operationId": operation, "summary": summary, "responses": responses}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
