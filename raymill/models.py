"""Networks for tables: `linear`, `mlp`, or the user's own `build_model(layout, task)`.

A network maps `numbers (batch, n) float` and `categories (batch, c) int64` to `(batch, task.outputs)` logits.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from raymill.errors import ResourceError, SpecError
from raymill.layout import Layout
from raymill.model_spec import ImportedSpec, LinearSpec, MlpSpec, ModelSpec
from raymill.task import Task

ParameterGroup = tuple[list[nn.Parameter], float]
_EMBEDDING_WIDTH = 8
_REFERENCE_WIDTH = 256


def build_model(spec: ModelSpec, layout: Layout, task: Task) -> nn.Module:
    """The network that a spec's model section describes, freshly initialised from torch's global seed.

    Raises SpecError for an import that fails, returns no nn.Module, or one whose output has another shape, and
    ResourceError for an mlp that this machine's memory can't hold.
    """
    if isinstance(spec, LinearSpec):
        return Linear(layout, task)
    if isinstance(spec, MlpSpec):
        return _mlp(spec, layout, task)
    with _blaming(spec, "build_model(layout, task) must return the network"):
        model = _imported(spec)(layout, task, **spec.options)
        if not isinstance(model, nn.Module):
            raise TypeError(f"it returned {type(model).__name__}, not a torch.nn.Module")
    with _blaming(spec, "forward(numbers (batch, n) float, categories (batch, c) int64) must return logits"):
        _try_out(model, layout, task)
    return model


def _mlp(spec: MlpSpec, layout: Layout, task: Task) -> nn.Module:
    try:
        return Mlp(layout, task, spec.hidden, spec.dropout)
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise ResourceError(
            f"A network of model.hidden {list(spec.hidden)} needs more memory than there is.", "Make it narrower."
        ) from error


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Puts stored weights into a network. Raises SpecError when they don't fit, as after an edit of an imported one."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise SpecError(
            f"The stored weights don't fit the network: {' '.join(str(error).split())}.",
            "Restore the code that model.import names, or train again under another `name:`.",
        ) from error


def default_learning_rate(spec: ModelSpec, task: Task) -> float:
    """Peak learning rate where the spec names none: RealMLP's 0.04 and 0.07, in units of a 256-wide layer."""
    if isinstance(spec, MlpSpec):
        return (0.04 if task.kind == "classification" else 0.07) / math.sqrt(_REFERENCE_WIDTH)
    return 0.01 if isinstance(spec, LinearSpec) else 0.001


def parameter_groups(model: nn.Module) -> list[ParameterGroup]:
    """Trainable parameters with the factor on their learning rate."""
    if isinstance(model, Mlp):
        return model.parameter_groups()
    return [([p for p in model.parameters() if p.requires_grad], 1.0)]


def has_batch_statistics(model: nn.Module) -> bool:
    """Whether its output depends on which rows share a batch, as batch norm's does."""
    kinds = nn.modules.batchnorm._BatchNorm
    return any(isinstance(m, kinds) and not isinstance(m, nn.SyncBatchNorm) for m in model.modules())


def _imported(spec: ImportedSpec) -> Callable[..., Any]:
    module_name, _, function = spec.import_.rpartition(".")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module_name), function)
    except (ImportError, AttributeError) as error:
        raise SpecError(
            f"model.import: could not import {spec.import_}: {error}.",
            "Install the module, or put it on PYTHONPATH, here and on every node.",
        ) from error
    return found


def require_importable(spec: ModelSpec) -> None:
    """Raises SpecError where the network's function can't be imported, before anything is computed for it."""
    if isinstance(spec, ImportedSpec):
        with _blaming(spec, "Its module must import without an error"):
            _imported(spec)


def is_from_imported_code(spec: ModelSpec, error: BaseException) -> bool:
    """Whether an error passed through the module that `model.import` names, or its package."""
    if not isinstance(spec, ImportedSpec):
        return False
    package = spec.import_.partition(".")[0]
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__", "").partition(".")[0] == package for frame in frames)


@contextlib.contextmanager
def _blaming(spec: ImportedSpec, rule: str) -> Iterator[None]:
    """Whatever the user's own code raises inside the block is a SpecError that names it and the rule it broke."""
    try:
        yield
    except SpecError:
        raise
    except (Exception, SystemExit) as error:
        raise SpecError(
            f"model.import: {spec.import_} failed: {type(error).__name__}: {' '.join(str(error).split())}.",
            f"{rule}; --debug shows the traceback.",
        ) from error


def _try_out(model: nn.Module, layout: Layout, task: Task) -> None:
    """Scores two rows of zeros, which also gives lazy layers their shapes; the global seed is left as it was."""
    numbers, categories = torch.zeros(2, len(layout.numbers)), torch.zeros(2, len(layout.categories), dtype=torch.int64)
    training = model.training
    with torch.no_grad():
        logits = model.eval()(numbers, categories)
    model.train(training)
    if tuple(logits.shape) != (2, task.outputs):
        raise ValueError(f"its output for 2 rows has the shape {tuple(logits.shape)}, not (2, {task.outputs})")


class Linear(nn.Module):
    """Logistic, softmax or linear regression; starts at zero."""

    def __init__(self, layout: Layout, task: Task) -> None:
        super().__init__()
        self.numbers = nn.Linear(len(layout.numbers), task.outputs)
        self.categories = nn.ModuleList(nn.Embedding(c.size, task.outputs) for c in layout.categories)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.numbers(numbers)
        for column, embedding in enumerate(self.categories):
            out = out + embedding(categories[:, column])
        return out


class ScaledLinear(nn.Module):
    """A linear layer in the neural tangent parametrisation: unit-variance weights, divided by sqrt(inputs)."""

    def __init__(self, inputs: int, outputs: int, zero: bool = False) -> None:
        super().__init__()
        draw = torch.zeros if zero else torch.randn
        self.weight = nn.Parameter(draw(outputs, inputs))
        self.bias = nn.Parameter(draw(outputs))
        self.factor = 1.0 / math.sqrt(max(inputs, 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias, inputs, self.weight.t(), alpha=self.factor)


class Mlp(nn.Module):
    """RealMLP-TD-S (Holzmüller et al. 2024, table A.2): smooth clip, scaling layer, tangent-parametrised layers.

    SELU for classes and Mish for regression; the last layer starts at zero. Categories with many values come as
    embeddings of 8. Learning rates are the paper's factors: scaling layer x 6, weights x 1, biases x 0.1.
    """

    def __init__(self, layout: Layout, task: Task, hidden: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(c.size, _EMBEDDING_WIDTH) for c in layout.categories)
        width = len(layout.numbers) + _EMBEDDING_WIDTH * len(layout.categories)
        self.scale = nn.Parameter(torch.ones(width))
        widths = [width, *hidden]
        self.layers = nn.ModuleList(ScaledLinear(a, b) for a, b in itertools.pairwise(widths))
        self.head = ScaledLinear(widths[-1], task.outputs, zero=True)
        self.activation = nn.SELU() if task.kind == "classification" else nn.Mish()
        self.dropout = nn.Dropout(dropout)

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        clipped = numbers * torch.rsqrt(1 + (numbers / 3) ** 2)
        embedded = [e(categories[:, column]) for column, e in enumerate(self.embeddings)]
        out = torch.cat([clipped, *embedded], dim=1) * self.scale if embedded else clipped * self.scale
        for layer in self.layers:
            out = self.dropout(self.activation(layer(out)))
        logits: torch.Tensor = self.head(out)
        return logits

    def parameter_groups(self) -> list[ParameterGroup]:
        reference = math.sqrt(_REFERENCE_WIDTH)
        layers = [*self.layers, self.head]
        weights = [layer.weight for layer in layers if isinstance(layer, ScaledLinear)]
        biases = [layer.bias for layer in layers if isinstance(layer, ScaledLinear)]
        embeddings = [parameter for e in self.embeddings for parameter in e.parameters()]
        return [
            ([self.scale], 6 * reference),
            (weights, reference),
            (biases, 0.1 * reference),
            *([(embeddings, reference)] if embeddings else []),
        ]
