"""Checkpoints: one safetensors object each, named by step and content, so that a torn one is never used."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save

from raymill.store import Store

_NAME = re.compile(r"step-(\d{10})-([0-9a-f]{16})\.safetensors$")
_KEEP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Tensors by name and the plain facts beside them, as they were after global step `step`."""

    step: int
    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, in a folder of the store; the newest two are kept."""

    def __init__(self, store: Store, folder: str) -> None:
        self.store = store
        self.folder = folder

    def write(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint whole, then removes the older ones."""
        # Cloned, since safetensors refuses tensors that share memory, as tied weights do.
        tensors = {name: t.clone(memory_format=torch.contiguous_format) for name, t in checkpoint.tensors.items()}
        facts = json.dumps(checkpoint.facts)
        data = save(tensors, metadata={"facts": facts})
        name = f"step-{checkpoint.step:010d}-{_digest(data)}.safetensors"
        self.store.write_bytes(f"{self.folder}/{name}", data)
        for old in self._names()[:-_KEEP]:
            self.store.delete(old)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that verifies, and the names of newer ones that did not.

        Raises StoreError when one can't be read at all: training must not start over because a bucket was busy.
        """
        torn: list[str] = []
        for name in reversed(self._names()):
            checkpoint = self._read(name)
            if checkpoint is not None:
                return checkpoint, torn
            torn.append(name)
        return None, torn

    def _names(self) -> list[str]:
        return [f.path for f in self.store.files(self.folder) if _NAME.search(f.path)]

    def _read(self, name: str) -> Checkpoint | None:
        data = self.store.read_bytes(name)
        match = _NAME.search(name)
        if match is None or _digest(data) != match.group(2):
            return None
        header_bytes = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + header_bytes])["__metadata__"]
        facts = json.loads(metadata["facts"])
        return Checkpoint(step=int(match.group(1)), tensors=load(data), facts=facts)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
