"""A bundle is data; the Predictor that is loaded from it scores as numpy does by hand."""

from __future__ import annotations

import hashlib
import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import TypeAdapter
from safetensors.numpy import load_file

from raymill.bundle import Bundle
from raymill.errors import DataError, SpecError, StoreError
from raymill.models import build_model
from raymill.predictor import Predictor, labels_of
from raymill.schema import infer_schema
from raymill.spec import ModelSpec, TaskSpec
from raymill.statistics import TableSummary
from raymill.store import Store
from raymill.target import fit_task
from raymill.transform import Transform

ROWS = 700
MODELS: list[dict[str, Any]] = [{"type": "linear"}, {"type": "mlp", "hidden": [9, 5], "dropout": 0.5}]
TASKS = ["two", "many", "regression"]


def raw_rows() -> pa.Table:
    """One column of each kind, with gaps, and a target of each kind."""
    rng = np.random.default_rng(0)
    size, town = rng.normal(50, 9, ROWS), rng.integers(0, 40, ROWS)
    gap = rng.random(ROWS) < 0.1
    return pa.table(
        {
            "size": pa.array(size, mask=gap),
            "weight": rng.gamma(2.0, 3.0, ROWS),
            "colour": pa.array(rng.choice(["red", "green", "blue"], ROWS), mask=np.roll(gap, 1)),
            "town": [f"town {i}" for i in town],
            "sold": pa.array(rng.random(ROWS) < 0.5, mask=np.roll(gap, 2)),
            "at": [datetime(2026, 1, 1) + timedelta(minutes=int(m)) for m in rng.integers(0, 500_000, ROWS)],
            "two": rng.choice(["no", "yes"], ROWS),
            "many": rng.choice(["a", "b", "c"], ROWS),
            "regression": size * 3 + rng.normal(size=ROWS),
        }
    )


@dataclass(frozen=True)
class Written:
    """A bundle on disk, untrained but with random weights, and the rows that it is of."""

    uri: str
    digest: str
    raw: pa.Table


def write(folder: Path, model: dict[str, Any], target: str, dtype: torch.dtype = torch.float32) -> Written:
    raw = raw_rows()
    table = raw.select([*raw.column_names[:6], target])
    summary = TableSummary.of(table, np.ones(ROWS, bool))
    schema = infer_schema(summary, {}, (), target)
    transform = Transform.fit(schema, summary)
    kind = "regression" if target == "regression" else "classification"
    task = fit_task(TaskSpec.model_validate({"type": kind, "target": target}), summary)
    spec = TypeAdapter(ModelSpec).validate_python(model)
    torch.manual_seed(0)
    network = build_model(spec, transform.layout, task).to(dtype)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    digest = Bundle.write(
        Store(str(folder)),
        schema=schema,
        transform=transform,
        task=task,
        model=spec,
        spec={"name": "x"},
        lineage={"run": "x-1"},
        network=network,
    )
    return Written(uri=str(folder), digest=digest, raw=raw)


@pytest.fixture(params=MODELS, ids=["linear", "mlp"])
def model(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


def features_by_hand(columns: list[dict[str, Any]], raw: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and category indices from what bundle.json says of each column, cell by cell."""
    numbers, categories = [], []
    for column in columns:
        cells = raw[column["name"]].to_pylist()
        match column["kind"]:
            case "number":
                filled = [column["median"] if cell is None else cell for cell in cells]
                numbers.append([(cell - column["mean"]) / column["sd"] for cell in filled])
                numbers += [[float(cell is None) for cell in cells]] if column["missing"] else []
            case "boolean":
                numbers.append([{True: 1.0, False: -1.0, None: 0.0}[cell] for cell in cells])
            case "timestamp":
                numbers += [list(wave) for wave in zip(*(waves(cell, column["parts"]) for cell in cells), strict=True)]
            case "category" if len(column["values"]) <= 16:
                numbers += [[float(cell == value) for cell in cells] for value in column["values"]]
                numbers += [[float(cell is None) for cell in cells]] if column["missing"] else []
            case "category":
                categories.append([1 + column["values"].index(cell) for cell in cells])
    return np.array(numbers).T.astype(np.float32).astype(np.float64), np.array(categories).T


def waves(at: datetime, parts: list[str]) -> list[float]:
    turns = {"hour": (at.hour + at.minute / 60) / 24, "weekday": at.weekday() / 7, "month": (at.month - 1) / 12}
    angles = [2 * math.pi * turns[part] for part in parts]
    return [wave(angle) for angle in angles for wave in (math.sin, math.cos)]


def logits_by_hand(document: dict[str, Any], weights: dict[str, np.ndarray], raw: pa.Table) -> np.ndarray:
    numbers, categories = features_by_hand(document["transform"]["columns"], raw)
    if document["model"]["type"] == "linear":
        embedded = weights["categories.0.weight"][categories[:, 0]]
        return numbers @ weights["numbers.weight"].T + weights["numbers.bias"] + embedded
    clipped = numbers / np.sqrt(1 + (numbers / 3) ** 2)
    out = np.hstack([clipped, weights["embeddings.0.weight"][categories[:, 0]]]) * weights["scale"]
    for layer in ("layers.0", "layers.1"):
        out = activated(scaled(out, weights, layer), document["task"]["kind"])
    return scaled(out, weights, "head")


def scaled(out: np.ndarray, weights: dict[str, np.ndarray], layer: str) -> np.ndarray:
    return out @ weights[f"{layer}.weight"].T / math.sqrt(out.shape[1]) + weights[f"{layer}.bias"]


def activated(out: np.ndarray, kind: str) -> np.ndarray:
    """SELU for classes, Mish for values."""
    if kind == "regression":
        return out * np.tanh(np.log1p(np.exp(out)))
    return 1.0507009873554805 * np.where(out > 0, out, 1.6732632423543772 * np.expm1(out))


def by_hand(written: Written) -> np.ndarray:
    document = json.loads(Path(written.uri, "bundle.json").read_text())
    weights = {k: v.astype(np.float64) for k, v in load_file(f"{written.uri}/weights.safetensors").items()}
    logits = logits_by_hand(document, weights, written.raw)
    if document["task"]["kind"] == "regression":
        return logits[:, 0] * document["task"]["scale"] + document["task"]["mean"]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("target", TASKS)
def test_scores_are_those_computed_by_hand(tmp_path: Path, model: dict[str, Any], target: str) -> None:
    written = write(tmp_path / "b", model, target, torch.float64)
    scores = Predictor.load(written.uri, written.digest).predict(written.raw)
    np.testing.assert_allclose(scores, by_hand(written), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("target", TASKS)
def test_in_float32_scores_are_those_computed_by_hand_to_its_precision(
    tmp_path: Path, model: dict[str, Any], target: str
) -> None:
    written = write(tmp_path / "b", model, target)
    scores = Predictor.load(written.uri).predict(written.raw)
    expected = by_hand(written)
    scale = np.abs(expected).max() if target == "regression" else 1.0
    assert np.abs(scores - expected).max() < 1e-5 * scale


@pytest.mark.parametrize("target", TASKS)
def test_a_row_scores_alike_alone_and_among_many(tmp_path: Path, model: dict[str, Any], target: str) -> None:
    written = write(tmp_path / "b", model, target, torch.float64)
    predictor = Predictor.load(written.uri)
    many = predictor.predict(pa.concat_tables([written.raw] * 13))  # over 8,192 rows: two chunks
    assert many.dtype == np.float64 and len(many) == 13 * ROWS
    alone = np.concatenate([predictor.predict(written.raw.slice(row, 1)) for row in range(20)])
    np.testing.assert_allclose(alone, many[:20], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(many[:ROWS], many[12 * ROWS :], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("target", "shape"), [("two", (0, 2)), ("many", (0, 3)), ("regression", (0,))])
def test_no_rows_have_no_scores(tmp_path: Path, target: str, shape: tuple[int, ...]) -> None:
    written = write(tmp_path / "b", MODELS[1], target)
    assert Predictor.load(written.uri).predict(written.raw.slice(0, 0)).shape == shape


def test_columns_that_are_no_features_and_their_order_do_not_matter(tmp_path: Path) -> None:
    written = write(tmp_path / "b", MODELS[1], "two")
    predictor = Predictor.load(written.uri)
    turned = written.raw.select(written.raw.column_names[::-1])
    assert np.array_equal(predictor.predict(turned), predictor.predict(written.raw))


def test_threads_may_share_a_predictor(tmp_path: Path) -> None:
    written = write(tmp_path / "b", MODELS[1], "many")
    predictor = Predictor.load(written.uri)
    expected = predictor.predict(written.raw)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(predictor.predict, [written.raw] * 16))
    assert all(np.array_equal(each, expected) for each in found)


def test_labels_are_the_likeliest_classes_and_values_are_themselves(tmp_path: Path) -> None:
    predictor = Predictor.load(write(tmp_path / "b", MODELS[0], "many").uri)
    scores = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])
    assert labels_of(predictor.task, scores).tolist() == ["b", "a"]
    values = Predictor.load(write(tmp_path / "v", MODELS[0], "regression").uri)
    assert labels_of(values.task, np.array([1.5])).tolist() == [1.5]


def test_a_bundle_is_read_back_as_it_was_written(tmp_path: Path, model: dict[str, Any]) -> None:
    written = write(tmp_path / "b", model, "two")
    bundle = Bundle.read(written.uri, written.digest)
    assert bundle.digest == written.digest == hashlib.sha256((tmp_path / "b/bundle.json").read_bytes()).hexdigest()
    assert (bundle.task.classes, bundle.spec, bundle.lineage) == (("no", "yes"), {"name": "x"}, {"run": "x-1"})
    assert bundle.model == TypeAdapter(ModelSpec).validate_python(model)
    assert not bundle.network().training


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


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    written = write(tmp_path / "b", MODELS[0], "two")
    with pytest.raises(DataError, match="'town'"):
        Predictor.load(written.uri).predict(written.raw.drop_columns(["town"]))
