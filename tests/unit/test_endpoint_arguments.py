"""What a spec says of its endpoint is what its application takes, also after a record's JSON."""

from __future__ import annotations

import json
from typing import Any

from cluster.endpoint_arguments import ServedModel, endpoint_arguments
from raymill.spec import Spec
from serving.arguments import EndpointArgs, LogArgs

MODEL = ServedModel(version="3", bundle_uri="s3://b/m", digest="d")


def _arguments(**sections: Any) -> dict[str, Any]:
    data = {"source": "a.csv", "key": ["id"]}
    named = {"name": "n", "task": {"type": "regression", "target": "y"}, "data": data, "store": "s3://b/store"}
    return endpoint_arguments(Spec.model_validate(named | sections), MODEL, "e1")


def test_a_log_goes_to_the_specs_store_without_what_is_private() -> None:
    features = {"mail": {"private": True}, "id": {"private": True}, "age": {"type": "number", "private": True}}
    arguments = _arguments(serve={"log": {"sample": 1}}, features=features)
    found = EndpointArgs.model_validate(json.loads(json.dumps(arguments)))
    # `id` is a key and no feature: no request has it.
    assert found.log == LogArgs(sample=1.0, every_s=60.0, private=("age", "mail"))
    assert json.loads(json.dumps(arguments)) == arguments


def test_without_a_log_a_private_mark_changes_no_argument_and_so_replaces_no_replica() -> None:
    assert _arguments()["log"] is None
    assert _arguments(features={"mail": {"private": True}}) == _arguments()


def test_replicas_keep_grpc_to_this_machine_where_the_spec_does() -> None:
    assert "grpc_loopback_only" not in _arguments()
    for host, only in (("127.0.0.1", True), ("::1", True), ("0.0.0.0", False)):
        arguments = _arguments(serve={"host": host, "grpc_port": 9000})
        assert EndpointArgs.model_validate(arguments).grpc_loopback_only is only


def test_any_other_argument_is_another_configuration() -> None:
    assert _arguments() == _arguments()
    others = [_arguments(serve=serve) for serve in ({}, {"deadline_s": 5}, {"cpus": 0.25}, {"log": {"sample": 1}})]
    assert len({arguments["configuration"] for arguments in others}) == len(others)
