"""The spine: one record walks from a raw row to a served score, and every station agrees."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from cluster.endpoint import undeploy
from cluster.sample import ask, rows_as_json
from jobs.predict import predict
from jobs.run import Walk, walk
from raymill.console import Console
from raymill.predictor import Predictor
from raymill.spec import Spec
from raymill.spec_text import parse_spec

pytestmark = pytest.mark.usefixtures("ray_session")
ROWS = 1_203
COLOURS = ["blue", "green", "red"]
SPEC = """
name: spine
task: {type: classification, target: {column: delay, at_least: 1.0}}
data:
  source: rows.csv
  key: [id]
  split: {by: time, column: at, train: 0.7, validation: 0.15, test: 0.15}
features: {ignore: [at]}
model: {type: mlp, hidden: [16, 8]}
train: {epochs: 3, batch_size: 100, workers: 1}
evaluate: {slices: [colour]}
"""


@dataclass(frozen=True)
class Walked:
    """One walk of a generated table, with its endpoint live."""

    spec: Spec
    table: pd.DataFrame
    walk: Walk
    said: str

    @property
    def test_rows(self) -> pd.DataFrame:
        return self.table[self.table["at"] > pd.Timestamp(self.walk.prepared.split["cuts"]["validation_end"])]


def _table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    size = rng.normal(40, 12, ROWS)
    colour = rng.choice(COLOURS, ROWS)
    table = pd.DataFrame(
        {
            "id": [f"row-{i}" for i in range(ROWS)],
            "at": pd.date_range("2026-01-01", periods=ROWS, freq="h"),
            "size": np.where(rng.random(ROWS) < 0.1, np.nan, size),
            "weight": rng.gamma(2.0, 3.0, ROWS),
            "colour": colour,
            "delay": 0.05 * (size - 40) + (colour == "red") + rng.normal(0.8, 0.5, ROWS),
        }
    )
    return table.sample(frac=1.0, random_state=1).reset_index(drop=True)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, serve_port: int) -> Iterator[Walked]:
    folder = tmp_path_factory.mktemp("spine")
    table = _table()
    table.to_csv(folder / "rows.csv", index=False)
    spec = parse_spec(SPEC, "spec.yaml", [f"serve.port={serve_port}", "serve.route=/spine"], folder=folder)
    said = io.StringIO()
    done = walk(spec, "deploy", Console(said))
    yield Walked(spec=spec, table=table, walk=done, said=said.getvalue())
    undeploy(spec, Console(said))


def _by_hand(walked: Walked) -> np.ndarray:
    """The probability of a late row, from the raw table and the weights alone: pandas, numpy, no raymill."""
    cuts = walked.walk.prepared.split["cuts"]
    train = walked.table[walked.table["at"] <= pd.Timestamp(cuts["train_end"])]
    rows = walked.test_rows
    columns = []
    for name in ("size", "weight"):
        median = train[name].median()
        filled = train[name].fillna(median)
        columns.append((rows[name].fillna(median) - filled.mean()) / filled.std(ddof=0))
        if name == "size":
            columns.append(rows[name].isna().astype(float))
    counts = train["colour"].value_counts()
    for colour in sorted(counts.index, key=lambda value: (-counts[value], value)):
        columns.append((rows["colour"] == colour).astype(float))
    x = np.column_stack(columns).astype(np.float32).astype(np.float64)
    weights = {
        name: value.astype(np.float64)
        for name, value in load_file(f"{walked.walk.trained.bundle_uri}/weights.safetensors").items()
    }
    hidden = x / np.sqrt(1 + (x / 3) ** 2) * weights["scale"]
    for layer in ("layers.0", "layers.1"):
        hidden = _scaled(hidden, weights, layer)
        hidden = 1.0507009873554805 * np.where(hidden > 0, hidden, 1.6732632423543772 * np.expm1(hidden))
    logits = _scaled(hidden, weights, "head")
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True))[:, 1]


def _scaled(x: np.ndarray, weights: dict[str, np.ndarray], layer: str) -> np.ndarray:
    return x @ weights[f"{layer}.weight"].T / np.sqrt(x.shape[1]) + weights[f"{layer}.bias"]


def _raw_test(walked: Walked) -> Any:
    prepared = walked.walk.prepared
    import pyarrow as pa

    return pa.concat_tables(prepared.read(shard) for shard in prepared.raw_test.shards)


def test_served_batch_predictor_and_by_hand_agree(walked: Walked, tmp_path: Path) -> None:
    by_hand = pd.Series(_by_hand(walked), index=walked.test_rows["id"])
    raw = _raw_test(walked)
    assert sorted(raw["id"].to_pylist()) == sorted(by_hand.index)

    scores = Predictor.load(walked.walk.trained.bundle_uri, walked.walk.trained.digest).predict(raw)[:, 1]
    predicted = pd.Series(scores, index=raw["id"].to_pandas())

    schema = walked.walk.prepared.schema
    assert walked.walk.endpoint is not None
    answers = ask(walked.walk.endpoint.predict_url, rows_as_json(schema, raw))["predictions"]
    served = pd.Series([answer["probabilities"]["True"] for answer in answers], index=predicted.index)

    walked.test_rows.drop(columns="delay").to_csv(tmp_path / "new.csv", index=False)
    result = predict(walked.spec, str(tmp_path / "new.csv"), str(tmp_path / "scored"), Console(io.StringIO()))
    batch = pd.read_parquet(tmp_path / "scored").set_index("id")["p_True"]

    assert result.rows == len(by_hand) == walked.walk.evaluation.rows
    for other in (predicted, served, batch):
        assert np.abs(other[by_hand.index] - by_hand).max() < 1e-6


def test_stored_scores_are_the_predictors_and_cover_every_test_row_once(walked: Walked) -> None:
    from raymill.evaluation import all_scores

    target, scores = all_scores(walked.walk.evaluation.uri, "candidate")
    raw = _raw_test(walked)
    assert (target == (raw["delay"].cast("double").to_numpy() >= 1.0)).all()
    again = Predictor.load(walked.walk.trained.bundle_uri).predict(raw)
    np.testing.assert_allclose(scores, again, atol=1e-12)
    slices = walked.walk.evaluation.slices["colour"]
    assert sum(part["rows"] for part in slices.values()) == len(target)


def test_the_report_holds_what_a_program_needs(walked: Walked) -> None:
    report = json.loads(json.dumps(walked.walk.report()))
    assert report["dataset"]["rows"].keys() == {"train", "validation", "test"}
    assert sum(report["dataset"]["rows"].values()) == ROWS
    assert {"roc_auc", "accuracy", "f1_macro", "log_loss"} <= report["metrics"]["test"].keys()
    assert report["metrics"]["test"].keys() == report["metrics"]["validation"].keys()
    assert report["baselines"].keys() == {"constant", "linear", "gradient_boosting"}
    assert report["gate"]["decision"] == "promote"
    assert report["model"]["version"] == 1
    assert report["endpoint"].startswith("http://127.0.0.1:")
    assert report["elapsed_s"].keys() == {"prepare", "train", "evaluate", "promote", "deploy"}


def test_the_champion_loads_from_mlflow_and_scores_alike(walked: Walked, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", walked.spec.tracking or "")
    model = mlflow.pyfunc.load_model("models:/spine@champion")
    frame = walked.test_rows.drop(columns=["delay"])
    got = model.predict(frame)["p_True"].to_numpy()
    assert np.abs(got - _by_hand(walked)).max() < 1e-6


def test_a_repeated_walk_does_no_work_twice_and_says_so(walked: Walked) -> None:
    said = io.StringIO()
    again = walk(walked.spec, "deploy", Console(said))
    assert said.getvalue().count("already") >= 4
    assert again.trained == walked.walk.trained
    assert again.promotion.version == walked.walk.promotion.version
    assert again.endpoint is not None and not again.endpoint.changed


def test_more_epochs_extend_the_run_and_a_retrained_model_is_gated(walked: Walked) -> None:
    longer = walked.spec.model_copy(update={"train": walked.spec.train.model_copy(update={"epochs": 5})})
    said = io.StringIO()
    done = walk(longer, "promote", Console(said))
    assert done.trained.run == walked.walk.trained.run
    assert done.trained.epochs == 5
    assert "continuing from step" in said.getvalue()
    assert done.promotion.version.number == 2
    assert done.evaluation.champion == walked.walk.evaluation.metrics
    again = walk(longer, "promote", Console(said := io.StringIO()))
    assert again.evaluation == done.evaluation
    assert "evaluate  already done" in said.getvalue()


def test_a_champion_that_changed_since_the_evaluation_is_not_replaced(walked: Walked) -> None:
    from dataclasses import replace

    from jobs.promote import promote

    longer = walked.spec.model_copy(update={"train": walked.spec.train.model_copy(update={"epochs": 5})})
    done = walk(longer, "evaluate", Console(io.StringIO()))
    stale = replace(done.evaluation, champion_digest="0" * 64)
    promotion = promote(longer, done.prepared, done.trained, stale, Console(io.StringIO()))
    assert promotion.decision.decision == "keep"
    assert "changed since the evaluation" in promotion.decision.reason


def test_a_champion_of_another_split_is_said_to_have_seen_the_test_rows(walked: Walked) -> None:
    split = walked.spec.data.split.model_copy(update={"train": 0.6, "validation": 0.2, "test": 0.2})
    moved = walked.spec.model_copy(update={"data": walked.spec.data.model_copy(update={"split": split})})
    done = walk(moved, "promote", Console(io.StringIO()))
    assert "may have seen these test rows" in done.promotion.decision.reason


def test_a_run_that_died_before_its_baselines_gets_them_from_the_same_command(walked: Walked) -> None:
    from raymill.baselines import has_baselines
    from raymill.run import Run

    run = Run.of(walked.spec, walked.walk.prepared)
    run.store.delete(run.baselines)
    walk(walked.spec, "evaluate", Console(io.StringIO()))
    assert has_baselines(run.store, run.baselines)
