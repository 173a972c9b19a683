"""The OpenAPI 3.1 document of one endpoint, typed from its model's schema and task."""

from __future__ import annotations

from typing import Any

from raymill.schema import Schema
from raymill.task import Task

_ERROR = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {
        "error": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["row", "column", "problem"],
                "properties": {
                    "row": {"type": "integer"},
                    "column": {"type": "string"},
                    "problem": {"type": "string"},
                },
            },
        },
        "request_id": {"type": "string"},
    },
}
_REQUEST_ID = {
    "name": "x-request-id",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "comes back in the answer and its header; made up where absent",
}


def openapi(name: str, version: str, route: str, schema: Schema, task: Task) -> dict[str, Any]:
    """The document for a model mounted at `route`."""
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": version},
        "servers": [{"url": route}],
        "paths": {
            f"/v1/{name}/predict": {"post": _predict()},
            f"/v1/{name}": {"get": _get("card", "The model card", {"type": "object"})},
            "/healthz": {"get": _get("health", "Ready to answer", {"type": "object"})},
            "/openapi.json": {"get": _get("openapi", "This document", {"type": "object"})},
        },
        "components": {
            "schemas": {
                "Row": schema.json_schema(),
                "Request": _request(),
                "Prediction": _prediction(task),
                "Answer": _answer(),
                "Error": _ERROR,
            }
        },
    }


def _predict() -> dict[str, Any]:
    refused = {"400": "no JSON", "413": "too large", "422": "rows that don't fit the schema", "500": "our fault"}
    return {
        "operationId": "predict",
        "summary": "Predictions for one row or many",
        "parameters": [_REQUEST_ID],
        "requestBody": {"required": True, "content": _json(_ref("Request"))},
        "responses": {"200": {"description": "a prediction per row, in order", "content": _json(_ref("Answer"))}}
        | {status: {"description": why, "content": _json(_ref("Error"))} for status, why in refused.items()},
    }


def _get(operation: str, summary: str, answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": _json(answer)}},
    }


def _request() -> dict[str, Any]:
    one = {"row": _ref("Row")}
    many = {"rows": {"type": "array", "minItems": 1, "items": _ref("Row")}}
    return {
        "oneOf": [
            {"type": "object", "required": list(part), "properties": part, "additionalProperties": False}
            for part in (one, many)
        ]
    }


def _prediction(task: Task) -> dict[str, Any]:
    if task.kind == "regression":
        return {"type": "object", "required": ["prediction"], "properties": {"prediction": {"type": "number"}}}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    probabilities = {
        "type": "object",
        "required": list(task.classes),
        "properties": {label: share for label in task.classes},
    }
    return {
        "type": "object",
        "required": ["prediction", "probabilities"],
        "properties": {"prediction": {"enum": list(task.classes)}, "probabilities": probabilities},
    }


def _answer() -> dict[str, Any]:
    text = {"type": "string"}
    model = {"type": "object", "required": ["name", "version"], "properties": {"name": text, "version": text}}
    return {
        "type": "object",
        "required": ["predictions", "model", "request_id"],
        "properties": {
            "predictions": {"type": "array", "items": _ref("Prediction")},
            "model": model,
            "request_id": text,
        },
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
