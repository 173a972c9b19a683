"""The outputs of a v2 inference: scores as the tensors `prediction` and, of a classifier, `probabilities`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raymill.task import Task
from serving.byte_strings import joined
from serving.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Floats:
    """An output of FP64 cells."""

    name: str
    values: np.ndarray
    datatype: str = "FP64"

    @property
    def shape(self) -> list[int]:
        return list(self.values.shape)

    @property
    def cells(self) -> list[float]:
        """In row-major order."""
        cells: list[float] = self.values.ravel().tolist()
        return cells

    @property
    def raw(self) -> bytes:
        return self.values.astype("<f8", order="C").tobytes()


@dataclass(frozen=True, slots=True)
class Labels:
    """An output of BYTES cells: the class of each row."""

    name: str
    classes: tuple[str, ...]
    chosen: np.ndarray
    datatype: str = "BYTES"

    @property
    def shape(self) -> list[int]:
        return [len(self.chosen)]

    @property
    def cells(self) -> list[str]:
        return list(map(self.classes.__getitem__, self.chosen.tolist()))

    @property
    def raw(self) -> bytes:
        prefixed = [joined([label.encode()]) for label in self.classes]
        return b"".join(map(prefixed.__getitem__, self.chosen.tolist()))


Output = Floats | Labels


def output_names(task: Task) -> tuple[str, ...]:
    """The outputs that a model has."""
    return ("prediction", "probabilities") if task.classes else ("prediction",)


def check_outputs(task: Task, wanted: Sequence[str]) -> None:
    """Raises Refusal 400 for a name that is none, or that is there twice."""
    known = output_names(task)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise Refusal(400, f"There is no output {unknown[0][:80]!r}; there are {', '.join(known)}.")
    if len(set(wanted)) < len(wanted):
        raise Refusal(400, "An output is asked for twice; name each once.")


def outputs_of(task: Task, scores: np.ndarray, wanted: Sequence[str] = ()) -> list[Output]:
    """The outputs of scores `(rows, classes)` or `(rows,)`, all or in the order that they are wanted."""
    return [_output(task, scores, name) for name in wanted or output_names(task)]


def _output(task: Task, scores: np.ndarray, name: str) -> Output:
    if name == "prediction" and task.classes:
        return Labels(name, task.classes, scores.argmax(axis=1))
    return Floats(name, scores)
