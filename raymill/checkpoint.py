"""Checkpoints: one safetensors object each, named by step and content, so that a torn one is never used."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save

from raymill.checkpoint_name import is_whole, name_of, step_in
from raymill.store import Store

_KEEP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Tensors by name and the plain facts beside them, as they were after global step `step`."""

    step: int
    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What it took to write a checkpoint."""

    seconds: float = 0.0
    size_bytes: int = 0


class Checkpoints:
    """The checkpoints of one run, in a folder of the store; the newest two are kept.

    `saved` is of the newest that was written by this value.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self.store = store
        self.folder = folder
        self.saved = Saved()

    def write(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint whole, then removes the older ones."""
        started_s = time.perf_counter()
        # Cloned, since safetensors refuses tensors that share memory, as tied weights do.
        tensors = {name: t.clone(memory_format=torch.contiguous_format) for name, t in checkpoint.tensors.items()}
        facts = json.dumps(checkpoint.facts)
        data = save(tensors, metadata={"facts": facts})
        self.store.write_bytes(f"{self.folder}/{name_of(checkpoint.step, data)}", data)
        for old in self._names()[:-_KEEP]:
            self.store.delete(old)
        self.saved = Saved(seconds=time.perf_counter() - started_s, size_bytes=len(data))

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

    def newest_step(self) -> int:
        """The step of the newest checkpoint, whole or not; 0 where there is none."""
        steps = (step_in(name) for name in self._names()[-1:])
        return next((step for step in steps if step is not None), 0)

    def _names(self) -> list[str]:
        return [f.path for f in self.store.files(self.folder) if step_in(f.path) is not None]

    def _read(self, name: str) -> Checkpoint | None:
        data = self.store.read_bytes(name)
        step = step_in(name)
        if step is None or not is_whole(name, data):
            return None
        header_bytes = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + header_bytes])["__metadata__"]
        facts = json.loads(metadata["facts"])
        return Checkpoint(step=step, tensors=load(data), facts=facts)
