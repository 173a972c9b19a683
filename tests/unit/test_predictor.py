"""The Predictor that is loaded from a bundle scores as numpy does by hand, alone, among many and in threads."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.numpy import load_file

from raymill.errors import DataError
from raymill.predictor import Predictor
from tests.mixed_bundles import MODELS, ROWS, Written, write

TASKS = ["two", "many", "regression"]


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


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    written = write(tmp_path / "b", MODELS[0], "two")
    with pytest.raises(DataError, match="'town'"):
        Predictor.load(written.uri).predict(written.raw.drop_columns(["town"]))


@pytest.mark.parametrize("rows", [1, 8, 9])
def test_a_table_of_few_rows_gets_the_same_bytes_as_one_of_many(tmp_path: Path, rows: int) -> None:
    written = write(tmp_path / "bundle", MODELS[1], "many")
    predictor = Predictor.load(written.uri, written.digest)
    for start in range(0, 90, rows):
        table = written.raw.slice(start, rows)
        found, expected = predictor.encode_table(table), predictor.transform.apply(predictor.schema.conform(table))
        assert found.numbers.tobytes() == expected.numbers.tobytes()
        assert found.categories.tobytes() == expected.categories.tobytes()
    # What is not as JSON would have it is read all the same.
    odd = pa.table({"size": ["7.5"], "weight": [True], "colour": [" red "], "town": [3], "sold": [1], "at": [None]})
    assert (
        predictor.encode_table(odd).numbers.tobytes()
        == predictor.transform.apply(predictor.schema.conform(odd)).numbers.tobytes()
    )
    with pytest.raises(DataError, match="no column 'size'"):
        predictor.encode_table(odd.drop_columns("size"))


@pytest.mark.parametrize(
    "at", [pa.array([2**61, 0], pa.timestamp("us")), pa.array([0, 1], pa.timestamp("us", "No/Zone"))]
)
def test_a_time_that_python_has_not_is_what_it_is_among_many_rows(tmp_path: Path, at: pa.Array) -> None:
    written = write(tmp_path / "bundle", MODELS[0], "two")
    predictor = Predictor.load(written.uri, written.digest)
    few = written.raw.slice(0, 2).set_column(written.raw.column_names.index("at"), "at", at)
    many = pa.concat_tables([few] * 20)
    assert outcome(predictor, few) == outcome(predictor, many)


def outcome(predictor: Predictor, table: pa.Table) -> list[float] | str:
    """The scores of the first row, or how they are refused."""
    try:
        return predictor.scores(predictor.encode_table(table))[0].tolist()
    except DataError as error:
        return error.what
