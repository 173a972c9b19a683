"""A bundle is data: JSON and safetensors, held to its digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from raymill.bundle import Bundle
from raymill.errors import DataError, SpecError, StoreError
from raymill.model_spec import ModelSpec
from raymill.predictor import Predictor
from tests.mixed_bundles import MODELS, ROWS, write


@pytest.mark.parametrize("model", MODELS)
def test_a_bundle_is_read_back_as_it_was_written(tmp_path: Path, model: dict[str, Any]) -> None:
    written = write(tmp_path / "b", model, "two")
    bundle = Bundle.read(written.uri, written.digest)
    assert bundle.digest == written.digest == hashlib.sha256((tmp_path / "b/bundle.json").read_bytes()).hexdigest()
    assert (bundle.task.classes, bundle.spec, bundle.lineage) == (("no", "yes"), {"name": "x"}, {"run": "x-1"})
    assert bundle.model == TypeAdapter(ModelSpec).validate_python(model)
    assert not bundle.network().training
    assert bundle.drift_reference is not None and len(bundle.drift_reference.columns) == 6


def test_a_bundle_is_json_and_safetensors_only(tmp_path: Path) -> None:
    write(tmp_path / "b", MODELS[1], "two")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["bundle.json", "weights.safetensors"]


def test_the_same_bundle_has_the_same_digest(tmp_path: Path) -> None:
    assert write(tmp_path / "a", MODELS[1], "two").digest == write(tmp_path / "b", MODELS[1], "two").digest


def test_another_bundle_than_the_one_asked_for_is_refused(tmp_path: Path) -> None:
    written = write(tmp_path / "b", MODELS[1], "two")
    with pytest.raises(DataError, match=f"its digest is {written.digest[:12]}, not 000000000000"):
        Predictor.load(written.uri, "0" * 64)


def test_tampered_weights_are_refused(tmp_path: Path) -> None:
    written = write(tmp_path / "b", MODELS[1], "two")
    path = tmp_path / "b" / "weights.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DataError, match="its weights don't match their digest"):
        Predictor.load(written.uri)


def test_a_tampered_document_is_refused_where_the_digest_is_known(tmp_path: Path) -> None:
    written = write(tmp_path / "b", MODELS[1], "two")
    path = tmp_path / "b" / "bundle.json"
    path.write_text(path.read_text().replace('"yes"', '"Yes"'))
    with pytest.raises(DataError, match="its digest is"):
        Predictor.load(written.uri, written.digest)


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "bundle.json is not JSON"), ("{}", "its format is None"), ('{"format": 99}', "its format is 99")],
)
def test_a_document_that_is_none_is_refused(tmp_path: Path, text: str, why: str) -> None:
    written = write(tmp_path / "b", MODELS[1], "two")
    (tmp_path / "b" / "bundle.json").write_text(text)
    with pytest.raises(DataError, match=why):
        Predictor.load(written.uri)


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{tmp_path}/nowhere/bundle.json"):
        Predictor.load(str(tmp_path / "nowhere"))


def test_tied_weights_and_lazy_layers_of_the_users_own_are_kept(tmp_path: Path) -> None:
    written = write(tmp_path / "b", {"import": "tests.networks.build_model"}, "two")
    network = Bundle.read(written.uri).network()
    assert torch.equal(network.first.weight, network.second.weight)
    assert Predictor.load(written.uri).predict(written.raw).shape == (ROWS, 2)


def test_a_network_that_was_edited_since_is_named(tmp_path: Path) -> None:
    written = write(tmp_path / "b", {"import": "tests.networks.build_model"}, "two")
    path = tmp_path / "b" / "bundle.json"
    document = json.loads(path.read_text())
    document["model"]["options"] = {"width": 11}
    path.write_text(json.dumps(document))
    with pytest.raises(SpecError, match="don't fit the network"):
        Predictor.load(written.uri)
