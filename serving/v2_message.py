"""The messages of v2 inferences over gRPC: cells raw, or in the repeated field of their datatype.

Source: the Open Inference Protocol's grpc_service.proto. It knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serving.infer import InferRequest
from serving.open_inference import ModelInferResponse
from serving.outputs import Labels, Output
from serving.refusal import Refusal
from serving.tensor import Cells, Tensor, refused, tensors_of

_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(["INT8", "INT16", "INT32"], "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(["UINT8", "UINT16", "UINT32"], "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
# Each changes what the answer would have to be.
_NOT_SERVED = ("classification", "shared_memory_region")


def request_of(message: Any) -> InferRequest:
    """What a ModelInferRequest asks. Raises Refusal 400 or 413."""
    if not message.inputs:
        raise Refusal(400, "There are no inputs.")
    for part in (*message.inputs, *message.outputs):
        for name in _NOT_SERVED:
            if name in part.parameters:
                raise Refusal(400, f"The parameter {name!r} of {part.name[:80]!r} is not served here.")
    tensors = _raw_tensors(message) if message.raw_input_contents else tensors_of(list(map(_cells, message.inputs)))
    return InferRequest(message.id, tuple(tensors), tuple(output.name for output in message.outputs))


def response_of(request: Any, version: str, outputs: Sequence[Output]) -> Any:
    """The ModelInferResponse, raw where the request was: what a client writes it can read."""
    response = ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
    for output in outputs:
        tensor = response.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if request.raw_input_contents:
            response.raw_output_contents.append(output.raw)
        else:
            cells = map(str.encode, output.cells) if isinstance(output, Labels) else output.cells
            getattr(tensor.contents, _CONTENTS[output.datatype]).extend(cells)
    return response


def _raw_tensors(message: Any) -> list[Tensor]:
    if len(message.raw_input_contents) != len(message.inputs):
        found = f"{len(message.raw_input_contents)} raw contents for {len(message.inputs)} inputs"
        raise Refusal(400, f"There are {found}; send one for each, or none.")
    pairs = zip(message.inputs, message.raw_input_contents, strict=True)
    return [Tensor.of_raw(each.name, each.datatype, each.shape, memoryview(raw)) for each, raw in pairs]


def _cells(given: Any) -> Cells:
    contents = {field.name: list(cells) for field, cells in given.contents.ListFields()}
    field = _CONTENTS.get(given.datatype, "")
    cells = contents.pop(field, [])
    if field and contents:
        raise refused(given.name, f"its cells are in {next(iter(contents))}; those of {given.datatype} go in {field}")
    return Cells(given.name, given.datatype, given.shape, cells)
