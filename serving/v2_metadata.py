"""What the v2 protocol tells of a server and of a model: which tensors it takes and gives."""

from __future__ import annotations

import json
from typing import Any

from raymill import __version__
from raymill.schema import Column, Schema
from raymill.task import Task

PLATFORM = "raymill"
_DATATYPES = {"number": "FP64", "category": "BYTES", "boolean": "BOOL", "timestamp": "BYTES"}


def server_metadata() -> dict[str, Any]:
    """The server's name, version and the extensions that it speaks."""
    return {"name": PLATFORM, "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(name: str, version: str, schema: Schema, task: Task) -> dict[str, Any]:
    """The model's tensors; `classes`, a JSON array in text, names the columns of `probabilities`."""
    return {
        "name": name,
        "versions": [version],
        "platform": PLATFORM,
        "inputs": [_input(column) for column in schema.columns],
        "outputs": _outputs(task),
        "properties": {"classes": json.dumps(task.classes)} if task.classes else {},
    }


def _input(column: Column) -> dict[str, Any]:
    """The datatype that holds every cell of the column; others that read as its kind are taken too."""
    return {"name": column.name, "datatype": _DATATYPES[column.kind], "shape": [-1]}


def _outputs(task: Task) -> list[dict[str, Any]]:
    if not task.classes:
        return [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]
    return [
        {"name": "prediction", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, len(task.classes)]},
    ]
