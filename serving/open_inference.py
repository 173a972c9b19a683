"""The messages and the service of the v2 protocol's gRPC: package `inference`, service `GRPCInferenceService`.

They are described here, in the order and with the names of the published `grpc_service.proto`, rather than by stubs
of a compiler, because those are tied to a range of protobuf's versions; a test holds them to the ones that Triton's
client brings. They lie in a pool of their own, since a process may hold other stubs of the same package, and protobuf
refuses a name twice in one pool.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal import builder

_PACKAGE = "inference"
SERVICE = f"{_PACKAGE}.GRPCInferenceService"
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")

_NAMED_MODEL = "name string, version string"
_TENSOR = "name string, datatype string, shape int64*, parameters {InferParameter}, contents InferTensorContents"
# A message's fields count from 1; `*` is repeated, `{}` a map from texts.
_MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready bool",
    "ModelReadyRequest": _NAMED_MODEL,
    "ModelReadyResponse": "ready bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name string, version string, extensions string*",
    "ModelMetadataRequest": _NAMED_MODEL,
    "ModelMetadataResponse": "name string, versions string*, platform string,"
    "inputs ModelMetadataResponse.TensorMetadata*, outputs ModelMetadataResponse.TensorMetadata*, properties {string}",
    "ModelMetadataResponse.TensorMetadata": "name string, datatype string, shape int64*",
    "ModelInferRequest": "model_name string, model_version string, id string, parameters {InferParameter},"
    "inputs ModelInferRequest.InferInputTensor*, outputs ModelInferRequest.InferRequestedOutputTensor*,"
    "raw_input_contents bytes*",
    "ModelInferRequest.InferInputTensor": _TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": "name string, parameters {InferParameter}",
    "ModelInferResponse": "model_name string, model_version string, id string, parameters {InferParameter},"
    "outputs ModelInferResponse.InferOutputTensor*, raw_output_contents bytes*",
    "ModelInferResponse.InferOutputTensor": _TENSOR,
    "InferParameter": "bool_param bool, int64_param int64, string_param string, double_param double,"
    "uint64_param uint64",
    "InferTensorContents": "bool_contents bool*, int_contents int32*, int64_contents int64*, uint_contents uint32*,"
    "uint64_contents uint64*, fp32_contents float*, fp64_contents double*, bytes_contents bytes*",
}

ServerLiveResponse: Any
ServerReadyResponse: Any
ModelReadyResponse: Any
ServerMetadataResponse: Any
ModelMetadataResponse: Any
ModelInferRequest: Any
ModelInferResponse: Any


def add_service(servicer: Any, server: grpc.Server) -> None:
    """Adds the service to a server, as a generated `add_GRPCInferenceServiceServicer_to_server` does."""
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, method),
            request_deserializer=globals()[f"{method}Request"].FromString,
            response_serializer=globals()[f"{method}Response"].SerializeToString,
        )
        for method in METHODS
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="open_inference.proto", package=_PACKAGE, syntax="proto3")
    made: dict[str, DescriptorProto] = {}
    for path, fields in _MESSAGES.items():
        outer, _, name = path.rpartition(".")
        made[path] = (made[outer].nested_type if outer else file.message_type).add(name=name)
        for number, field in enumerate(filter(None, fields.split(",")), start=1):
            _add_field(made[path], path, number, *field.split())
    return file


def _add_field(message: DescriptorProto, path: str, number: int, name: str, kind: str) -> None:
    field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if kind.startswith("{"):
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add_field(entry, path, 1, "key", "string")
        _add_field(entry, path, 2, "value", kind.strip("{}"))
        kind = f"{path}.{entry.name}*"
    if kind.endswith("*"):
        field.label = FieldDescriptorProto.LABEL_REPEATED
    _set_type(field, kind.rstrip("*"))


def _set_type(field: FieldDescriptorProto, kind: str) -> None:
    if kind[0].isupper():
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")


# As compilers' stubs do: Ray's plain proxy pickles messages, and a pickle names a class by its module.
_described = DescriptorPool().AddSerializedFile(_file().SerializeToString())
builder.BuildTopDescriptorsAndMessages(_described, __name__, globals())
