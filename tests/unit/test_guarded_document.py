from __future__ import annotations

from typing import Any

import pytest

from raymill.schema import Column, Schema
from raymill.task import Task
from serving.guarded_document import guarded
from serving.openapi import openapi

SCHEMA = Schema(columns=(Column(name="a", kind="number"),))
DOCUMENT = openapi("demo", "1", "/", SCHEMA, Task(kind="classification", target="y", classes=("no", "yes")))


@pytest.mark.parametrize("takes_tokens", [False, True])
def test_the_document_says_what_the_guard_may_answer_and_changes_nothing_else(takes_tokens: bool) -> None:
    found = guarded(DOCUMENT, takes_tokens=takes_tokens)
    assert found["paths"].keys() == DOCUMENT["paths"].keys()
    for path, operations in DOCUMENT["paths"].items():
        for method, before in operations.items():
            after = found["paths"][path][method]
            asks = takes_tokens and path != "/healthz"
            assert before["responses"].items() <= after["responses"].items()
            assert ("401" in after["responses"], "security" in after) == (asks, asks)
            assert {"504", *({"408"} if method == "post" else ())} <= after["responses"].keys()


def test_the_scheme_is_named_where_tokens_are_taken_and_every_reference_leads_somewhere() -> None:
    found = guarded(DOCUMENT, takes_tokens=True)
    assert found["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "securitySchemes" not in guarded(DOCUMENT, takes_tokens=False)["components"]
    for reference in _references(found):
        assert reference.removeprefix("#/components/schemas/") in found["components"]["schemas"]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [value["$ref"]] if "$ref" in value else [r for inner in value.values() for r in _references(inner)]
    return [r for inner in value for r in _references(inner)] if isinstance(value, list) else []
