"""The protocol's messages are those that Triton's client brings, name by name and number by number."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from tritonclient.grpc import service_pb2

from serving import open_inference


def field_of(descriptor: Any) -> tuple[int, int, bool, str]:
    message = descriptor.message_type
    return descriptor.number, descriptor.type, descriptor.is_repeated, "" if message is None else message.full_name


@pytest.mark.parametrize("path", sorted(open_inference._MESSAGES))
def test_every_field_is_that_of_the_published_protocol(path: str) -> None:
    ours, theirs = (dict(_found(m, path).DESCRIPTOR.fields_by_name) for m in (open_inference, service_pb2))
    shared = ours.keys() & theirs.keys()
    # KServe's has them, and Triton's not yet.
    assert ours.keys() - shared <= {"properties"}
    assert {name: field_of(ours[name]) for name in shared} == {name: field_of(theirs[name]) for name in shared}


def _found(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name)
    return module


def test_what_one_side_writes_the_other_reads() -> None:
    theirs = service_pb2.ModelInferRequest(model_name="demo", id="1", raw_input_contents=[b"12345678"])
    theirs.inputs.add(name="a", datatype="FP64", shape=[1]).parameters["x"].int64_param = 7
    ours = open_inference.ModelInferRequest.FromString(theirs.SerializeToString())
    assert ours.inputs[0].parameters["x"].int64_param == 7
    assert service_pb2.ModelInferRequest.FromString(ours.SerializeToString()) == theirs


def test_a_message_travels_by_pickle_as_rays_plain_proxy_sends_it() -> None:
    message = open_inference.ModelInferRequest(model_name="demo")
    assert pickle.loads(pickle.dumps(message)) == message


def test_the_service_has_the_published_name_and_methods() -> None:
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert theirs.full_name == open_inference.SERVICE
    assert set(open_inference.METHODS) <= set(theirs.methods_by_name)
