"""The registry against a real MLflow on SQLite."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from raymill import __version__
from raymill.bundle import Bundle
from raymill.errors import TrackerError
from raymill.model_spec import LinearSpec
from raymill.models import build_model
from raymill.predictor import Predictor
from raymill.registry import Registry, Version, signature_of
from raymill.schema import Column, Schema, infer_schema
from raymill.statistics import TableSummary
from raymill.store import Store
from raymill.task import Task
from raymill.tracking import Tracker, connect
from raymill.transform import Transform

SCHEMA = Schema(columns=(Column(name="size", kind="number"), Column(name="a colour", kind="category")))
TASK = Task(kind="classification", target="y", classes=("no", "yes"))


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"


@pytest.fixture(scope="module")
def run_id(uri: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    tracker = Tracker.open(uri, "flowers", str(tmp_path_factory.mktemp("artifacts")))
    return tracker.run("flowers-1", params={}, tags={}).id


@pytest.fixture
def registry(uri: str) -> Registry:
    return Registry(uri)


@pytest.fixture
def name(tmp_path: Path) -> str:
    return tmp_path.name.replace("_", "-").lower()


def write_bundle(folder: Path, weights: bytes = b"weights") -> str:
    folder.mkdir()
    document = {"schema": SCHEMA.to_json(), "task": TASK.to_json()}
    (folder / "bundle.json").write_text(json.dumps(document))
    (folder / "weights.safetensors").write_bytes(weights)
    return hashlib.sha256(weights).hexdigest()


def write_real_bundle(folder: Path, rows: pd.DataFrame) -> str:
    table = pa.Table.from_pandas(rows)
    summary = TableSummary.of(table.append_column("y", pa.array(["no"] * len(rows))), np.ones(len(rows), bool))
    schema = infer_schema(summary, {}, (), "y")
    transform, model = Transform.fit(schema, summary), LinearSpec(type="linear")
    network = build_model(model, transform.layout, TASK)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return Bundle.write(
        Store(str(folder)),
        schema=schema,
        transform=transform,
        task=TASK,
        model=model,
        spec={},
        lineage={},
        network=network,
    )


def register(registry: Registry, name: str, run_id: str, folder: Path, weights: bytes = b"weights") -> Version:
    digest = write_bundle(folder, weights)
    uri = f"s3://KEY:hush@bucket/{folder.name}"
    return registry.register(name, folder, bundle_uri=uri, digest=digest, run_id=run_id, description="d")


def test_a_bundle_becomes_a_version_that_knows_where_it_came_from(
    registry: Registry, name: str, run_id: str, tmp_path: Path
) -> None:
    version = register(registry, name, run_id, tmp_path / "b1")
    assert version == Version(
        name=name,
        number=1,
        bundle_uri="s3://bucket/b1",
        digest=hashlib.sha256(b"weights").hexdigest(),
        run_id=run_id,
    )


def test_the_same_bundle_registered_again_is_the_same_version(
    registry: Registry, name: str, run_id: str, tmp_path: Path
) -> None:
    first = register(registry, name, run_id, tmp_path / "b1")
    other = register(registry, name, run_id, tmp_path / "b2", b"other")
    assert register(registry, name, run_id, tmp_path / "b3") == first
    assert (first.number, other.number) == (1, 2)


def test_a_digest_is_found_in_its_own_model_only(registry: Registry, name: str, run_id: str, tmp_path: Path) -> None:
    first = register(registry, name, run_id, tmp_path / "b1", b"other")
    version = register(registry, name, run_id, tmp_path / "b2")
    elsewhere = register(registry, f"{name}-2", run_id, tmp_path / "b3")
    assert (first.number, version.number, elsewhere.number) == (1, 2, 1)
    assert elsewhere.digest == version.digest


def test_an_alias_points_where_it_was_set_last(registry: Registry, name: str, run_id: str, tmp_path: Path) -> None:
    assert registry.alias(name, "champion") is None
    first = register(registry, name, run_id, tmp_path / "b1")
    second = register(registry, name, run_id, tmp_path / "b2", b"other")
    assert registry.alias(name, "champion") is None
    for version in (first, second, first):
        registry.set_alias(name, "champion", version.number)
        assert registry.alias(name, "champion") == version
    assert registry.alias(name, "candidate") is None


def test_an_alias_of_no_version_is_refused(registry: Registry, name: str, run_id: str, tmp_path: Path) -> None:
    register(registry, name, run_id, tmp_path / "b1")
    with pytest.raises(TrackerError, match=f"could not set {name}@champion to version 9"):
        registry.set_alias(name, "champion", 9)


def test_a_version_that_raymill_did_not_make_is_said_to_be_one(
    uri: str, registry: Registry, name: str, run_id: str
) -> None:
    client = connect(uri)
    client.create_registered_model(name)
    client.create_model_version(name, source="s3://elsewhere/model", run_id=run_id)
    registry.set_alias(name, "champion", 1)
    with pytest.raises(TrackerError, match="has no tag digest and no tag bundle_uri"):
        registry.alias(name, "champion")


def test_the_model_is_data_and_names_its_loader(
    uri: str, registry: Registry, name: str, run_id: str, tmp_path: Path
) -> None:
    register(registry, name, run_id, tmp_path / "b1")
    folder = Path(connect(uri).get_model_version(name, "1").source)
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "MLmodel",
        "data/bundle.json",
        "data/weights.safetensors",
        "python_env.yaml",
        "requirements.txt",
    ]
    assert "loader_module: raymill.pyfunc" in (folder / "MLmodel").read_text()
    assert (folder / "requirements.txt").read_text() == f"raymill=={__version__}\n"


def test_the_champion_loads_by_its_alias_and_scores_as_the_predictor_does(
    uri: str, registry: Registry, name: str, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.pyfunc

    rows = pd.DataFrame({"size": range(40), "a colour": ["red", "blue"] * 20, "sold": [True, True, False, False] * 10})
    folder = tmp_path / "bundle"
    digest = write_real_bundle(folder, rows)
    version = registry.register(name, folder, bundle_uri=str(folder), digest=digest, run_id=run_id)
    registry.set_alias(name, "champion", version.number)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    expected = Predictor.load(str(folder), digest).predict(pa.Table.from_pandas(rows))
    for frame in (rows, rows.astype(str), rows.astype(object), rows.convert_dtypes(), rows.assign(other=1)):
        found = model.predict(frame)
        assert list(found.columns) == ["prediction", "p_no", "p_yes"]
        np.testing.assert_array_equal(found[["p_no", "p_yes"]], expected)


def test_no_artifact_and_no_database_lands_in_the_working_directory(
    registry: Registry, name: str, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    register(registry, name, run_id, tmp_path / "b1")
    assert list(here.iterdir()) == []


def test_the_signature_names_every_feature_and_output() -> None:
    signature = signature_of(SCHEMA, TASK)
    assert signature.inputs.input_names() == ["size", "a colour"]
    assert signature.outputs.input_names() == ["prediction", "p_no", "p_yes"]
    values = signature_of(SCHEMA, Task(kind="regression", target="y"))
    assert [str(c.type) for c in values.outputs.inputs] == ["DataType.double"]


def test_importing_it_does_not_import_mlflow() -> None:
    code = "import sys, raymill.registry; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
