"""The code of a user's own network is part of what a run and a bundle are."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from raymill.bundle import Bundle
from raymill.errors import SpecError
from raymill.imported_code import fingerprint
from raymill.run import Run
from raymill.training import Assignment, train_rank
from tests.datasets import write_prepared
from tests.recipes import spec_of

NETWORK = """
from torch import nn
from .sizes import width

def build_model(layout, task):
    return Net(layout, task)

class Net(nn.Module):
    def __init__(self, layout, task):
        super().__init__()
        self.layer = nn.Linear(len(layout.numbers), task.outputs)

    def forward(self, numbers, categories):
        return self.layer(numbers) * width
"""
Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file of a package `mynets`, which is imported anew after it."""
    folder = tmp_path / "mynets"
    folder.mkdir()
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> None:
        (folder / name).write_text(text)
        for module in [module for module in sys.modules if module.partition(".")[0] == "mynets"]:
            del sys.modules[module]
        importlib.invalidate_caches()

    write("__init__.py", "")
    write("net.py", NETWORK)
    write("sizes.py", "width = 1.0\n")
    write("other.py", "unused = 1\n")
    return write


def test_a_fingerprint_is_of_the_module_and_what_it_imports_of_its_package(write: Write) -> None:
    first = fingerprint("mynets.net.build_model")
    write("other.py", "unused = 2\n")
    assert fingerprint("mynets.net.build_model") == first
    write("sizes.py", "width = 2.0\n")
    second = fingerprint("mynets.net.build_model")
    write("__init__.py", "import mynets.other\n")
    assert len({first, second, fingerprint("mynets.net.build_model")}) == 3


def test_what_can_not_be_read_is_said(write: Write) -> None:
    with pytest.raises(SpecError, match="no module 'nonets'"):
        fingerprint("nonets.net.build_model")
    write("sizes.py", "width =")
    with pytest.raises(SpecError, match=r"sizes\.py is no Python"):
        fingerprint("mynets.net.build_model")


def test_an_edited_network_is_another_run_and_scores_no_bundle_of_the_old_one(write: Write, tmp_path: Path) -> None:
    prepared = write_prepared(str(tmp_path / "dataset"), "late")
    spec = spec_of({"import": "mynets.net.build_model"}, prepared.task.kind, epochs=1)
    spec = spec.model_copy(update={"store": str(tmp_path / "store")})
    run = Run.of(spec, prepared)
    train_rank(Assignment(run=run.name, spec=spec, dataset_uri=prepared.uri, run_id=None))
    trained = run.trained()
    assert trained is not None
    bundle = Bundle.read(trained.bundle_uri, trained.digest)
    bundle.network()
    write("sizes.py", "width = -1.0\n")
    assert Run.of(spec, prepared).name != run.name
    with pytest.raises(SpecError, match=rf"code of mynets\.net\.build_model has changed since {run.name} was trained"):
        bundle.network()
    with pytest.raises(SpecError, match="not that of where the command was typed"):
        train_rank(Assignment(run=run.name, spec=spec, dataset_uri=prepared.uri, run_id=None))
