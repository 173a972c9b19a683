"""The bodies of v2 inferences over HTTP: JSON, or JSON and after it raw cells by Triton's binary extension.

Sources: the Open Inference Protocol's inference_rest.md, Triton's extension_binary_data.md. It knows no model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, ValidationError

from serving.body import MOST_BYTES, json_of
from serving.infer import InferRequest
from serving.outputs import Output
from serving.refusal import Refusal
from serving.tensor import Cells, Tensor, refused, tensors_of

JSON_LENGTH = "inference-header-content-length"
RAW = "application/octet-stream"
_MOST_INPUTS = 10_000
_LENGTH_DIGITS = 18
# The whole numbers of JSON can be of any size, and a product of two can be beyond what Python writes.
_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Parameters(BaseModel):
    """The protocol lets clients send parameters that a server doesn't know, so they are tolerated."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _InputParameters(_Parameters):
    binary_data_size: Annotated[int, Field(ge=0, le=MOST_BYTES)] | None = None
    shared_memory_region: None = None


class _OutputParameters(_Parameters):
    """To overlook `classification` or `shared_memory_region` would be a wrong answer."""

    binary_data: bool | None = None
    classification: None = None
    shared_memory_region: None = None


class _RequestParameters(_Parameters):
    binary_data_output: bool = False


class _Input(_Part):
    name: str
    shape: list[_Int64]
    datatype: str
    data: Annotated[Any, SkipValidation] = None
    parameters: _InputParameters = _InputParameters()


class _Wanted(_Part):
    name: str
    parameters: _OutputParameters = _OutputParameters()


class _Request(_Part):
    id: str = ""
    inputs: Annotated[list[_Input], Field(min_length=1, max_length=_MOST_INPUTS)]
    outputs: list[_Wanted] = []
    parameters: _RequestParameters = _RequestParameters()


class V2Body:
    """A request's body, read; what it says of the answer's form is kept for `answer`."""

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises Refusal 400, 413 or 422."""
        length = _json_length(headers.get(JSON_LENGTH), len(body))
        parts = _parse(body[:length])
        tensors = _tensors(parts.inputs, memoryview(body)[length:])
        self.request = InferRequest(parts.id, tensors, tuple(wanted.name for wanted in parts.outputs))
        self._all_binary = parts.parameters.binary_data_output
        self._binary = {wanted.name: wanted.parameters.binary_data for wanted in parts.outputs}

    def answer(self, model: str, version: str, outputs: Sequence[Output]) -> tuple[bytes, dict[str, str]]:
        """The answer's body and headers; a raw output comes after the JSON, which then has its size only."""
        raws = {output.name: output.raw for output in outputs if self._is_binary(output.name)}
        described = [_described(output, raws.get(output.name)) for output in outputs]
        value = {"model_name": model, "model_version": version, "outputs": described}
        text = json.dumps(value | ({"id": self.request.id} if self.request.id else {})).encode()
        if not raws:
            return text, {"content-type": "application/json"}
        return b"".join([text, *raws.values()]), {"content-type": RAW, JSON_LENGTH: str(len(text))}

    def _is_binary(self, name: str) -> bool:
        asked = self._binary.get(name)
        return self._all_binary if asked is None else asked


def _json_length(header: str | None, size: int) -> int:
    if header is None:
        return size
    # Python reads no number of thousands of digits.
    if not header.isdecimal() or len(header) > _LENGTH_DIGITS or int(header) > size:
        raise Refusal(400, f"{JSON_LENGTH} is {header[:20]!r}; it must be the bytes of JSON of the {size} in the body.")
    return int(header)


def _parse(text: bytes) -> _Request:
    try:
        return _Request.model_validate(json_of(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        what = "It must be an object" if first["type"] == "model_type" else first["msg"]
        raise Refusal(400, f"This is no v2 request: {where[:80]}: {what}.") from error


def _tensors(inputs: Sequence[_Input], raw: memoryview) -> tuple[Tensor, ...]:
    """The inputs' tensors; those that are raw lie one after the other, in the order of the inputs."""
    binary, at = [], 0
    for each in inputs:
        size = each.parameters.binary_data_size
        if size is not None:
            binary.append(_raw_tensor(each, raw[at : at + size]))
            at += size
    if at != len(raw):
        raise Refusal(400, f"The inputs have {at} bytes of binary data by their sizes, and the body {len(raw)}.")
    return (*binary, *tensors_of([_cells(each) for each in inputs if each.parameters.binary_data_size is None]))


def _cells(given: _Input) -> Cells:
    if type(given.data) is not list:
        raise refused(given.name, "its data is no array")
    return Cells(given.name, given.datatype, given.shape, given.data)


def _raw_tensor(given: _Input, raw: memoryview) -> Tensor:
    if given.data is not None:
        raise refused(given.name, "it has data and a binary_data_size; send one of them")
    return Tensor.of_raw(given.name, given.datatype, given.shape, raw)


def _described(output: Output, raw: bytes | None) -> dict[str, Any]:
    tensor = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
    content = {"data": output.cells} if raw is None else {"parameters": {"binary_data_size": len(raw)}}
    return tensor | content
