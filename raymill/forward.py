"""The forward: a trained network's logits for features, by whichever of its forms is fastest on this machine.

The reference is torch's own run of the network. raymill's own networks also have a form in numpy, which for a few rows
spares torch's cost of 5 to 10 µs per operation; for many, torch's kernels are faster. Which takes which number of rows
is measured when an endpoint loads its model, after the numpy form has been held to the reference on drawn features:
probabilities within 1e-6, values within 1e-6 of the target's deviation or of themselves. A form that isn't that near
isn't used. Evaluation and batch prediction always take the reference, so that no score hangs on a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from raymill.encodings import Features
from raymill.layout import Layout
from raymill.models import Linear, Mlp
from raymill.task import Task

Forward = Callable[[Features], np.ndarray]
TOLERANCE = 1e-6
_PROBE_ROWS = 256
_SIZES = (1, 4, 16, 64, 256)
_TRIES = 15


class Reference:
    """Features to logits `(rows, outputs)`, float64 of such weights, else float32, by torch; threads may share it."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._dtype = next((p.dtype for p in network.parameters()), torch.float32)

    def __call__(self, features: Features) -> np.ndarray:
        with torch.inference_mode():
            numbers = torch.from_numpy(features.numbers).to(self._dtype)
            logits = self._network(numbers, torch.from_numpy(features.categories).long())
            # numpy has no bfloat16.
            found: np.ndarray = (logits if logits.dtype == torch.float64 else logits.float()).numpy()
        return found


def fastest(network: nn.Module, layout: Layout, task: Task) -> Forward:
    """The reference, or for fewer rows than where it becomes the faster one, the network's form in numpy."""
    reference, plain = Reference(network), _plain(network)
    probe = _probe(layout)
    if plain is None or not _agree(plain(probe), reference(probe), task):
        return reference
    few = 0
    for rows in _SIZES:
        part = Features(numbers=probe.numbers[:rows], categories=probe.categories[:rows])
        if _seconds(plain, part) > _seconds(reference, part):
            break
        few = rows
    return _BySize(plain, reference, few)


class _BySize:
    def __init__(self, few: Forward, many: Forward, most_few: int) -> None:
        self._few, self._many, self._most_few = few, many, most_few

    def __call__(self, features: Features) -> np.ndarray:
        return (self._few if features.rows <= self._most_few else self._many)(features)


def _probe(layout: Layout) -> Features:
    """Features as rows have them: standard normal numbers, some far out, and categories of every index."""
    draw = np.random.default_rng(0)
    numbers = draw.standard_t(3, size=(_PROBE_ROWS, len(layout.numbers))).astype(np.float32)
    categories = [draw.integers(0, feature.size, _PROBE_ROWS) for feature in layout.categories]
    stacked = np.stack(categories, axis=1) if categories else np.empty((_PROBE_ROWS, 0))
    return Features(numbers=numbers, categories=np.ascontiguousarray(stacked, dtype=np.int32))


def _agree(found: np.ndarray, wanted: np.ndarray, task: Task) -> bool:
    if task.kind == "classification":
        return bool(np.all(np.abs(task.scores(found) - task.scores(wanted)) <= TOLERANCE))
    return bool(np.all(np.abs(found - wanted) <= TOLERANCE * np.maximum(np.abs(wanted), 1)))


def _seconds(forward: Forward, features: Features) -> float:
    """The least of some runs: whatever else the machine does only adds to one."""
    taken = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        forward(features)
        taken.append(time.perf_counter() - started)
    return min(taken)


def _plain(network: nn.Module) -> Forward | None:
    if any(p.dtype != torch.float32 for p in network.parameters()):
        return None
    if isinstance(network, Mlp):
        return _PlainMlp(network)
    return _PlainLinear(network) if isinstance(network, Linear) else None


class _PlainLinear:
    """`Linear` in numpy."""

    def __init__(self, network: Linear) -> None:
        self._weight = _array(network.numbers.weight).T.copy()
        self._bias = _array(network.numbers.bias)
        self._tables = [_array(embedding.weight) for embedding in network.categories]  # type: ignore[arg-type]

    def __call__(self, features: Features) -> np.ndarray:
        out: np.ndarray = features.numbers @ self._weight + self._bias
        for column, table in enumerate(self._tables):
            out += table[features.categories[:, column]]
        return out


class _PlainMlp:
    """`Mlp` in numpy, its factors multiplied into the weights beforehand."""

    def __init__(self, network: Mlp) -> None:
        self._tables = [_array(embedding.weight) for embedding in network.embeddings]  # type: ignore[arg-type]
        self._scale = _array(network.scale)
        layers = [*network.layers, network.head]
        self._layers = [(_array(x.weight * x.factor).T.copy(), _array(x.bias)) for x in layers]
        self._activate = _selu if isinstance(network.activation, nn.SELU) else _mish

    def __call__(self, features: Features) -> np.ndarray:
        numbers = features.numbers
        out = numbers / np.sqrt(1 + np.square(numbers / np.float32(3)))
        if self._tables:
            embedded = [table[features.categories[:, column]] for column, table in enumerate(self._tables)]
            out = np.concatenate([out, *embedded], axis=1)
        out *= self._scale
        for weight, bias in self._layers[:-1]:
            out = self._activate(out @ weight + bias)
        weight, bias = self._layers[-1]
        logits: np.ndarray = out @ weight + bias
        return logits


def _array(parameter: torch.Tensor) -> np.ndarray:
    found: np.ndarray = parameter.detach().numpy()
    return found


_SELU_ALPHA = np.float32(1.6732632423543772848170429916717)
_SELU_SCALE = np.float32(1.0507009873554804934193349852946)


def _selu(x: np.ndarray) -> np.ndarray:
    """Klambauer et al. 2017, with torch's constants."""
    below = _SELU_ALPHA * np.expm1(np.minimum(x, 0))
    result: np.ndarray = _SELU_SCALE * (np.maximum(x, 0) + below)
    return result


def _mish(x: np.ndarray) -> np.ndarray:
    """`x tanh(softplus(x))` (Misra 2020)."""
    result: np.ndarray = x * np.tanh(np.logaddexp(x, np.float32(0)))
    return result
