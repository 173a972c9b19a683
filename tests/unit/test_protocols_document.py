"""The document names what an endpoint answers, and its examples are such requests."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from serving.arguments import EndpointArgs
from serving.arrow_body import ARROW
from serving.model import Model
from serving.openapi import openapi
from serving.protocols_document import with_protocols
from serving.v2 import v2_routes
from tests.served import ALL_KINDS, POOL, YES_NO, FirstColumn, arguments, ask, scoring

EXAMPLE = {"size": 0.5, "colour": "red", "sold": True, "at": "2026-01-31T12:00:00"}
MODEL = Model(predictor=FirstColumn(ALL_KINDS, YES_NO), lineage={}, example=EXAMPLE)


def document(args: EndpointArgs | None = None) -> dict[str, Any]:
    before = openapi("demo", "7", "/", ALL_KINDS, YES_NO)
    return with_protocols(before, args or arguments(), MODEL)


def test_every_v2_route_is_there() -> None:
    routes = v2_routes(arguments(), MODEL, scoring(MODEL), POOL)
    named = {path: method for path, (method, _) in routes.items() if "/versions/" not in path}
    found = {path: next(iter(said)).upper() for path, said in document()["paths"].items() if path.startswith("/v2")}
    assert found == named
    assert "Also at /v2/models/demo/versions/7/infer." in str(document()["paths"]["/v2/models/demo/infer"])


def test_every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() -> None:
    found = document()
    for reference in _references(found):
        assert reference.removeprefix("#/components/schemas/") in found["components"]["schemas"]
    names = [said["operationId"] for operations in found["paths"].values() for said in operations.values()]
    assert len(set(names)) == len(names)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [value["$ref"]] if "$ref" in value else [r for inner in value.values() for r in _references(inner)]
    return [r for inner in value for r in _references(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize("path", ["/v1/demo/predict", "/v2/models/demo/infer"])
def test_an_example_is_what_its_schema_says(path: str) -> None:
    found = document()
    body = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    jsonschema.Draft202012Validator(found | body["schema"]).validate(body["example"])


def test_the_example_of_an_inference_is_answered_as_its_schema_says() -> None:
    found, path = document(), "/v2/models/demo/infer"
    body = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
    answer = json.loads(ask(v2_routes(arguments(), MODEL, scoring(MODEL), POOL)[path][1], body).body)
    jsonschema.Draft202012Validator(found | found["components"]["schemas"]["V2Response"]).validate(answer)
    assert answer["outputs"][1]["data"] == [0.5, 0.5]


def test_a_private_column_has_no_example() -> None:
    found = document(arguments(private=("colour",)))
    assert '"red"' not in json.dumps(found)
    assert "colour" in found["components"]["schemas"]["Row"]["properties"]


def test_streams_are_among_what_is_taken_and_answered() -> None:
    predict = document()["paths"]["/v1/demo/predict"]["post"]
    assert ARROW in predict["requestBody"]["content"]
    assert predict["responses"]["200"]["content"].keys() == {"application/json", ARROW}
