"""The bundle: everything that turns a raw row into a score, as data: bundle.json and weights.safetensors.

Loading one runs no code but the installed package's and, for `model: {import: ...}`, that module's.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import load, save
from torch import nn

from raymill.drift_reference import DriftReference
from raymill.errors import DataError, SpecError
from raymill.imported_code import fingerprint_of
from raymill.model_spec import ImportedSpec, ModelSpec
from raymill.models import build_model, load_weights
from raymill.schema import Schema
from raymill.store import Store
from raymill.task import Task
from raymill.transform import Transform

FORMAT = 2
FILES = ("bundle.json", "weights.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A trained model and its lineage; `digest` is the SHA-256 of bundle.json, which holds that of the weights.

    A bundle of before there was a `drift_reference` has none.
    """

    schema: Schema
    transform: Transform
    task: Task
    model: ModelSpec
    code: str | None  # the fingerprint of an imported network's
    spec: dict[str, Any]
    lineage: dict[str, Any]
    weights: dict[str, torch.Tensor]
    digest: str
    drift_reference: DriftReference | None = None

    @classmethod
    def write(
        cls,
        store: Store,
        *,
        schema: Schema,
        transform: Transform,
        task: Task,
        model: ModelSpec,
        spec: dict[str, Any],
        lineage: dict[str, Any],
        network: nn.Module,
        drift_reference: DriftReference | None = None,
    ) -> str:
        """Writes a bundle into a store, bundle.json last; returns its digest."""
        # Cloned, since safetensors refuses tensors that share memory, as tied weights do.
        weights = {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in network.state_dict().items()
        }
        data = save(weights)
        document = {
            "format": FORMAT,
            "schema": schema.to_json(),
            "transform": transform.to_json(),
            "task": task.to_json(),
            "layout": transform.layout.to_json(),
            "model": model.model_dump(mode="json", by_alias=True),
            "code": fingerprint_of(model),
            "spec": spec,
            "lineage": lineage,
            "drift_reference": drift_reference and drift_reference.to_json(),
            "weights_sha256": hashlib.sha256(data).hexdigest(),
        }
        text = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
        store.write_bytes("weights.safetensors", data)
        store.write_bytes("bundle.json", text)
        return hashlib.sha256(text).hexdigest()

    @classmethod
    def read(cls, uri: str, digest: str | None = None) -> Bundle:
        """Reads and verifies a bundle. Raises DataError when it isn't the one that `digest` names, or is damaged."""
        store = Store(uri)
        text, data = (store.read_bytes(name) for name in FILES)
        found = hashlib.sha256(text).hexdigest()
        if digest is not None and found != digest:
            raise _damaged(uri, f"its digest is {found[:12]}, not {digest[:12]}")
        try:
            document = json.loads(text)
        except ValueError as error:
            raise _damaged(uri, f"bundle.json is not JSON: {error}") from error
        if document.get("format") != FORMAT:
            raise _damaged(uri, f"its format is {document.get('format')}, and this raymill reads {FORMAT}")
        if hashlib.sha256(data).hexdigest() != document["weights_sha256"]:
            raise _damaged(uri, "its weights don't match their digest")
        return cls(
            schema=Schema.from_json(document["schema"]),
            transform=Transform.from_json(document["transform"]),
            task=Task.from_json(document["task"]),
            model=TypeAdapter(ModelSpec).validate_python(document["model"]),
            code=document["code"],
            spec=document["spec"],
            lineage=document["lineage"],
            weights=load(data),
            digest=found,
            drift_reference=DriftReference.from_json(document.get("drift_reference")),
        )

    @classmethod
    def damage(cls, uri: str, digest: str) -> str | None:
        """Why the bundle that `digest` names can't be had from a place any more; None where it is there, whole.

        Raises StoreError where that can't be told, as when the store is away.
        """
        store = Store(uri)
        absent = [name for name in FILES if not store.exists(name)]
        if absent:
            return f"The bundle {uri} has lost its {absent[0]}."
        text, data = (store.read_bytes(name) for name in FILES)
        whole = hashlib.sha256(text).hexdigest() == digest
        if not whole or json.loads(text).get("weights_sha256") != hashlib.sha256(data).hexdigest():
            return f"The bundle {uri} is not what its digest {digest[:12]} says."
        return None

    def require_same_code(self) -> None:
        """Raises SpecError where an imported network's code isn't that which the weights were trained with."""
        if fingerprint_of(self.model) != self.code:
            assert isinstance(self.model, ImportedSpec)
            raise SpecError(
                f"The code of {self.model.import_} has changed since {self.lineage['run']} was trained with it.",
                "Restore it, and give the new network a module of its own (as my_package.net_2), so that both can be "
                "loaded and compared.",
            )

    def network(self) -> nn.Module:
        """The trained network, ready to score. Raises SpecError when an imported one has changed since."""
        self.require_same_code()
        model = build_model(self.model, self.transform.layout, self.task)
        dtype = next((w.dtype for w in self.weights.values() if w.is_floating_point()), torch.float32)
        load_weights(model.to(dtype), self.weights)
        return model.eval()


def _damaged(uri: str, reason: str) -> DataError:
    return DataError(f"The bundle {uri} can't be used: {reason}.", "Train again, or name another version.")
