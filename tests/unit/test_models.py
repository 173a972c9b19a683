"""Networks: what comes out of them, how they start, and what is said of a bad one of the user's own."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from raymill.errors import SpecError
from raymill.layout import CategoryFeature, Layout
from raymill.model_spec import ModelSpec
from raymill.models import (
    build_model,
    default_learning_rate,
    has_batch_statistics,
    load_weights,
    parameter_groups,
    require_importable,
)
from raymill.task import Task
from tests.fakes import FakePrepared
from tests.networks import Small
from tests.recipes import Training, spec_of

NUMBERS = Layout(numbers=("a", "b", "c"), categories=())
MIXED = Layout(numbers=("a",), categories=(CategoryFeature(name="k", size=5), CategoryFeature(name="m", size=300)))
CATEGORIES = Layout(numbers=(), categories=(CategoryFeature(name="k", size=5),))
TWO = Task(kind="classification", target="y", classes=("no", "yes"))
MANY = Task(kind="classification", target="y", classes=("a", "b", "c", "d"))
VALUE = Task(kind="regression", target="y")


def spec(**model: Any) -> ModelSpec:
    return TypeAdapter(ModelSpec).validate_python(model)


def rows(layout: Layout, count: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    categories = [torch.randint(0, c.size, (count,), generator=generator) for c in layout.categories]
    numbers = torch.randn(count, len(layout.numbers), generator=generator)
    return numbers, torch.stack(categories, dim=1) if categories else torch.zeros(count, 0, dtype=torch.int64)


@pytest.mark.parametrize("layout", [NUMBERS, MIXED, CATEGORIES])
@pytest.mark.parametrize(("task", "outputs"), [(TWO, 2), (MANY, 4), (VALUE, 1)])
@pytest.mark.parametrize(
    "model",
    [
        {"type": "linear"},
        {"type": "mlp"},
        {"type": "mlp", "hidden": [], "dropout": 0.5},
        {"import": "tests.networks.build_model", "options": {"width": 5}},
    ],
)
@pytest.mark.parametrize("count", [0, 1, 7])
def test_any_number_of_rows_gives_a_logit_per_class_or_one_value(
    layout: Layout, task: Task, outputs: int, model: dict[str, Any], count: int
) -> None:
    logits = build_model(spec(**model), layout, task)(*rows(layout, count))
    assert logits.shape == (count, outputs)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_network_depends_on_every_column(kind: str) -> None:
    model = build_model(spec(type=kind), MIXED, TWO).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    numbers, categories = rows(MIXED)
    before = model(numbers, categories)
    for column in range(2):
        other = categories.clone()
        other[:, column] = (other[:, column] + 1) % 5
        assert not torch.allclose(model(numbers, other), before)
    assert not torch.allclose(model(numbers + 1, categories), before)


def test_the_same_seed_gives_the_same_network() -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return next(iter(build_model(spec(type="mlp"), MIXED, TWO).embeddings)).weight

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_fresh_linear_network_knows_nothing(kind: str) -> None:
    hidden: dict[str, Any] = {"hidden": []} if kind == "mlp" else {}
    model = build_model(spec(type=kind, **hidden), NUMBERS, MANY)
    weight = model.head.weight if kind == "mlp" else model.numbers.weight
    assert torch.count_nonzero(weight) == 0


def test_a_network_scores_a_row_alike_whatever_is_beside_it() -> None:
    model = build_model(spec(type="mlp", dropout=0.4), MIXED, TWO).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    numbers, categories = rows(MIXED)
    alone = torch.cat([model(numbers[i : i + 1], categories[i : i + 1]) for i in range(7)])
    assert torch.allclose(model(numbers, categories), alone, atol=1e-4, rtol=1e-4)


def test_huge_numbers_are_clipped_smoothly() -> None:
    model = build_model(spec(type="mlp"), NUMBERS, VALUE).eval()
    torch.nn.init.normal_(model.head.weight)
    huge = torch.full((1, 3), 1e9)
    assert torch.isfinite(model(huge, torch.zeros(1, 0, dtype=torch.int64))).all()


@pytest.mark.parametrize("model", [{"type": "linear"}, {"type": "mlp"}, {"import": "tests.networks.half"}])
def test_every_trainable_parameter_is_in_one_group(model: dict[str, Any]) -> None:
    network = build_model(spec(**model), MIXED, TWO)
    grouped = [id(parameter) for parameters, _ in parameter_groups(network) for parameter in parameters]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters() if p.requires_grad)
    assert all(factor > 0 for _, factor in parameter_groups(network))


def test_every_model_has_a_learning_rate_of_its_own() -> None:
    for model in (spec(type="linear"), spec(type="mlp"), spec(**{"import": "tests.networks.build_model"})):
        assert all(0 < default_learning_rate(model, task) < 1 for task in (TWO, VALUE))


def test_only_batch_norm_has_batch_statistics() -> None:
    assert has_batch_statistics(build_model(spec(**{"import": "tests.networks.batch_norm"}), NUMBERS, TWO))
    assert not has_batch_statistics(build_model(spec(**{"import": "tests.networks.build_model"}), NUMBERS, TWO))


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's, put on the path."""
    (tmp_path / "their_net.py").write_text(
        "import torch\n"
        "def build_model(layout, task, scale=1.0):\n"
        "    class Net(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.layer = torch.nn.Linear(len(layout.numbers), task.outputs)\n"
        "        def forward(self, numbers, categories):\n"
        "            return scale * self.layer(numbers)\n"
        "    return Net()\n"
    )
    (tmp_path / "their_typo.py").write_text("def build_model(layout, task)\n    pass\n")
    (tmp_path / "their_script.py").write_text("import sys\nsys.exit(5)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "their_net.build_model"
    sys.modules.pop("their_net", None)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_a_network_of_the_users_own_trains(own_module: str, kind: str) -> None:
    model = {"import": own_module, "options": {"scale": 2.0}}
    recipe = {"epochs": 8, "optimizer": {"lr": 0.05}, "precision": "float32"}
    found = Training(spec=spec_of(model, kind, **recipe), prepared=FakePrepared(455, kind=kind))
    found.run()
    assert found.epochs[-1].validation_loss < 0.7 * found.epochs[0].train_loss


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("nowhere.to.be_found", "could not import nowhere.to.be_found: No module named 'nowhere'"),
        ("tests.networks.absent", "module 'tests.networks' has no attribute 'absent'"),
        ("tests.networks.no_network", "it returned dict, not a torch.nn.Module"),
        ("tests.networks.broken", "tests.networks.broken failed: KeyError: 'depth'"),
        ("tests.networks.one_output_too_many", r"shape \(2, 3\), not \(2, 2\)"),
    ],
)
def test_a_bad_import_is_the_users_to_mend(name: str, what: str) -> None:
    with pytest.raises(SpecError, match=what) as caught:
        build_model(spec(**{"import": name}), NUMBERS, TWO)
    assert caught.value.what.startswith("model.import: ")


def test_a_module_with_a_typing_error_is_the_users_to_mend(own_module: str) -> None:
    with pytest.raises(SpecError, match="SyntaxError: expected ':'"):
        build_model(spec(**{"import": "their_typo.build_model"}), NUMBERS, TWO)


@pytest.mark.parametrize(("module", "what"), [("their_typo", "SyntaxError: expected ':'"), ("their_script", "Exit: 5")])
def test_a_module_that_fails_is_refused_before_anything_is_computed(own_module: str, module: str, what: str) -> None:
    with pytest.raises(SpecError, match=what):
        require_importable(spec(**{"import": f"{module}.build_model"}))


def test_an_option_that_the_function_does_not_take_is_named(own_module: str) -> None:
    with pytest.raises(SpecError, match="unexpected keyword argument 'depth'"):
        build_model(spec(**{"import": own_module, "options": {"depth": 3}}), NUMBERS, TWO)


def test_trying_a_network_out_draws_nothing_from_the_seed() -> None:
    torch.manual_seed(3)
    Small(NUMBERS, TWO, 8, torch.nn.LayerNorm)(*rows(NUMBERS))
    expected = torch.rand(1)
    torch.manual_seed(3)
    build_model(spec(**{"import": "tests.networks.build_model"}), NUMBERS, TWO)
    assert torch.equal(torch.rand(1), expected)


def test_weights_of_another_shape_are_refused_in_one_line() -> None:
    model, other = (build_model(spec(type="mlp", hidden=[width]), NUMBERS, TWO) for width in (4, 5))
    with pytest.raises(SpecError, match="size mismatch") as caught:
        load_weights(model, other.state_dict())
    assert "\n" not in caught.value.what


def test_tangent_layers_keep_the_variance_of_what_goes_in() -> None:
    torch.manual_seed(0)
    wide = Layout(numbers=tuple(map(str, range(400))), categories=())
    model = build_model(spec(type="mlp", hidden=[2000]), wide, TWO)
    out = model.layers[0](torch.randn(200, 400))
    assert out.std().item() == pytest.approx(math.sqrt(2), rel=0.1)  # weights and bias, each of variance 1
