"""A network's fastest form scores as its reference does, or isn't taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raymill import forward
from raymill.encodings import Features
from raymill.forward import TOLERANCE, Reference, fastest
from raymill.layout import CategoryFeature, Layout
from raymill.model_spec import LinearSpec, MlpSpec, ModelSpec
from raymill.models import build_model
from raymill.predictor import Predictor
from raymill.task import Task
from tests.mixed_bundles import MODELS, write

LAYOUT = Layout(numbers=("a", "b", "c"), categories=(CategoryFeature(name="k", size=20),))
CLASSES = Task(kind="classification", target="y", classes=("no", "maybe", "yes"))
VALUES = Task(kind="regression", target="y", mean=100.0, scale=25.0)


def _network(spec: ModelSpec, task: Task, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = build_model(spec, LAYOUT, task).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network


def _features(rows: int, seed: int) -> Features:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 3)).astype(np.float32)
    return Features(numbers=numbers, categories=rng.integers(0, 20, (rows, 1)).astype(np.int32))


@pytest.mark.parametrize("task", [CLASSES, VALUES], ids=["classes", "values"])
@pytest.mark.parametrize(
    "spec", [LinearSpec(type="linear"), MlpSpec(hidden=(32, 16)), MlpSpec(hidden=(5,))], ids=["linear", "mlp", "small"]
)
def test_the_numpy_form_agrees_with_torch(spec: ModelSpec, task: Task) -> None:
    for seed in range(5):
        network, features = _network(spec, task, seed), _features(50, seed)
        plain = forward._plain(network)
        assert plain is not None
        found, wanted = task.scores(plain(features)), task.scores(Reference(network)(features))
        scale = 1.0 if task.classes else task.scale * max(1.0, float(np.abs(wanted / task.scale).max()))
        assert np.abs(found - wanted).max() <= TOLERANCE * scale


def test_a_form_that_differs_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _network(MlpSpec(hidden=(8,)), CLASSES, 0)
    right = forward._plain(network)
    assert right is not None
    monkeypatch.setattr(forward, "_plain", lambda _: lambda features: right(features) + np.array([1e-3, 0, 0]))
    assert isinstance(fastest(network, LAYOUT, CLASSES), Reference)


def test_each_number_of_rows_goes_to_the_form_that_is_faster_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _network(MlpSpec(hidden=(8,)), CLASSES, 0)
    monkeypatch.setattr(forward, "_seconds", lambda form, part: 4 if isinstance(form, Reference) else part.rows)
    chosen = fastest(network, LAYOUT, CLASSES)
    taken: list[str] = []
    monkeypatch.setattr(chosen, "_few", lambda features: taken.append("few"))
    monkeypatch.setattr(chosen, "_many", lambda features: taken.append("many"))
    for rows in (1, 4, 5, 300):
        chosen(_features(rows, 0))
    assert taken == ["few", "few", "many", "many"]


@pytest.mark.parametrize("network", [nn.Linear(3, 3), _network(MlpSpec(hidden=(4,)), CLASSES, 0).double()])
def test_what_has_no_numpy_form_is_run_by_torch(network: nn.Module) -> None:
    assert forward._plain(network) is None


@pytest.mark.parametrize("model", MODELS, ids=["linear", "mlp"])
@pytest.mark.parametrize("target", ["two", "many", "regression"])
def test_a_tuned_predictor_scores_as_before(tmp_path: Path, model: dict[str, Any], target: str) -> None:
    written = write(tmp_path, model, target)
    predictor = Predictor.load(written.uri)
    wanted, tuned = predictor.predict(written.raw), predictor.tuned()
    found = np.concatenate([tuned.scores(tuned.encode_table(written.raw.slice(row, 1))) for row in range(50)])
    scale = 1.0 if predictor.task.classes else predictor.task.scale
    np.testing.assert_allclose(found, wanted[:50], rtol=TOLERANCE, atol=TOLERANCE * scale)
