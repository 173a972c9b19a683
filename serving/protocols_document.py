"""An OpenAPI document with what an endpoint speaks beside its own JSON: Arrow streams, the v2 protocol, and a page."""

from __future__ import annotations

from typing import Any

from serving.arguments import EndpointArgs
from serving.arrow_body import ARROW
from serving.model import Model
from serving.v2_document import v2_example, v2_paths, v2_schemas
from serving.v2_metadata import model_metadata

_STREAM = {ARROW: {"schema": {"type": "string", "contentMediaType": ARROW}}}
_PAGE = {
    "operationId": "docs",
    "summary": "This document as a page",
    "responses": {"200": {"description": "HTML", "content": {"text/html": {"schema": {"type": "string"}}}}},
}


def with_protocols(document: dict[str, Any], args: EndpointArgs, model: Model) -> dict[str, Any]:
    """The document, whose schemas have a `Row` and an `Error`, with an example row, private cells left out."""
    example = {name: cell for name, cell in model.example.items() if name not in args.private}
    schema, task = model.predictor.schema, model.predictor.task
    predict = f"/v1/{args.name}/predict"
    paths = {
        predict: {"post": _with_arrow(document["paths"][predict]["post"], example)},
        **v2_paths(args.name, args.version, v2_example(model_metadata(args.name, args.version, schema, task), example)),
        "/docs": {"get": _PAGE},
    }
    schemas = document["components"]["schemas"] | v2_schemas(schema, task)
    schemas["Row"] = schemas["Row"] | {"examples": [example]}
    components = document["components"] | {"schemas": schemas}
    return document | {"paths": document["paths"] | paths, "components": components}


def _with_arrow(predict: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    body, answered = predict["requestBody"], predict["responses"]["200"]
    json = body["content"]["application/json"] | {"example": {"row": example}}
    answer = answered | {"content": answered["content"] | _STREAM}
    return predict | {
        "description": f"An Arrow IPC stream, for many rows, is answered by one where Accept is {ARROW}.",
        "requestBody": body | {"content": {"application/json": json, **_STREAM}},
        "responses": predict["responses"] | {"200": answer},
    }
