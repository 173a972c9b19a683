"""The OpenAPI 3.1 document of one endpoint, typed from its model's schema and task."""

from __future__ import annotations

from typing import Any

from raymill.schema import Schema
from raymill.task import Task
from serving.body import MOST_ROWS
from serving.feedback import MOST_ID, MOST_LABELS

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
_UNREADABLE = {"400": "no JSON", "413": "too large", "415": "a Content-Encoding"}
_REQUEST_ID = {
    "name": "x-request-id",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "comes back in the answer and its header; made up where absent",
}


def openapi(
    name: str, version: str, route: str, schema: Schema, task: Task, *, feedback: bool = False
) -> dict[str, Any]:
    """The document for a model mounted at `route`; `feedback` says whether it takes labels."""
    labels = {f"/v1/{name}/feedback": {"post": _feedback()}} if feedback else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": version},
        "servers": [{"url": route}],
        "paths": {
            f"/v1/{name}/predict": {"post": _predict()},
            f"/v1/{name}": {"get": _get("card", "The model card", {"type": "object"})},
            "/healthz": {"get": _get("health", "Ready to answer", {"type": "object"})},
            "/openapi.json": {"get": _get("openapi", "This document", {"type": "object"})},
            **labels,
        },
        "components": {
            "schemas": {
                "Row": schema.json_schema(),
                "Request": _request(),
                "Prediction": _prediction(task),
                "Answer": _answer(),
                "Error": _ERROR,
                **({"Feedback": _labels(), "Label": _label(task)} if feedback else {}),
            }
        },
    }


def _predict() -> dict[str, Any]:
    refused = _UNREADABLE | {"422": "rows that don't fit the schema", "500": "our fault"}
    return {
        "operationId": "predict",
        "summary": "Predictions for one row or many",
        "parameters": [_REQUEST_ID],
        "requestBody": {"required": True, "content": _json(_ref("Request"))},
        "responses": {"200": {"description": "a prediction per row, in order", "content": _json(_ref("Answer"))}}
        | {status: {"description": why, "content": _json(_ref("Error"))} for status, why in refused.items()},
    }


def _feedback() -> dict[str, Any]:
    refused = _UNREADABLE | {"422": "labels that the task hasn't", "503": "no room, try later"}
    accepted = {
        "type": "object",
        "required": ["accepted", "request_id"],
        "properties": {"accepted": {"type": "integer"}, "request_id": {"type": "string"}},
    }
    return {
        "operationId": "feedback",
        "summary": "What turned out true, by the id of a request and the row in it",
        "parameters": [_REQUEST_ID],
        "requestBody": {"required": True, "content": _json(_ref("Feedback"))},
        "responses": {"202": {"description": "all labels are taken", "content": _json(accepted)}}
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


def _labels() -> dict[str, Any]:
    one = {
        "type": "object",
        "required": ["request_id", "label"],
        "properties": {
            "request_id": {"type": "string", "minLength": 1, "maxLength": MOST_ID},
            "row": {"type": "integer", "minimum": 0, "maximum": MOST_ROWS - 1, "default": 0},
            "label": _ref("Label"),
        },
        "additionalProperties": False,
    }
    many = {"type": "array", "minItems": 1, "maxItems": MOST_LABELS, "items": one}
    body = {"type": "object", "required": ["feedback"], "properties": {"feedback": many}, "additionalProperties": False}
    return {"oneOf": [body, one]}


def _label(task: Task) -> dict[str, Any]:
    if task.kind == "regression":
        return {"type": "number"}
    if task.at_least is not None:
        return {"anyOf": [{"enum": [*task.classes, True, False]}, {"type": "number"}]}
    return {"enum": list(task.classes)}


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
