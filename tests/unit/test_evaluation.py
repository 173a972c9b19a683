"""Every test row is scored once, by every scorer, and what was scored adds up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow as pa
import pytest

from raymill.bundle import Bundle
from raymill.errors import DataError
from raymill.evaluation import (
    Evaluation,
    all_scores,
    measure_baselines,
    read_scores,
    reasons_of,
    tally,
    values_of,
)
from raymill.metrics import Measured, measure
from raymill.predictor import Predictor
from raymill.prepared import Prepared
from raymill.run import Run
from raymill.schema import Column, Schema
from raymill.scoring import Scorer, ScoreShard, _texts, aligned, require_comparable
from raymill.spec import FeatureType
from raymill.store import Store
from raymill.task import Task
from raymill.training import Assignment, train_rank
from tests.datasets import ROWS, raw_rows, write_prepared
from tests.recipes import spec_of


@pytest.fixture(params=["late", "delay"])
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Prepared:
    return write_prepared(str(tmp_path / "dataset"), request.param)


def scorer(prepared: Prepared, folder: Path, name: str = "candidate", seed: int = 5) -> Scorer:
    spec = spec_of({"type": "linear"}, prepared.task.kind, seed=seed, epochs=2).model_copy(
        update={"store": str(folder)}
    )
    train_rank(Assignment(run=Run.of(spec, prepared).name, spec=spec, dataset_uri=prepared.uri, run_id="r"))
    (manifest,) = folder.glob("runs/*/train.json")
    trained = Store(str(manifest.parent)).read_json("train.json")
    return Scorer(name=name, uri=trained["bundle_uri"], digest=trained["digest"])


def score(prepared: Prepared, into: Path, *scorers: Scorer, slices: tuple[str, ...] = ()) -> int:
    shards = prepared.raw_test.shards
    place = {"dataset_uri": prepared.uri, "scorers": scorers, "slices": slices, "into": str(into)}
    return sum(ScoreShard(shard=shard, **place)() for shard in shards)


def test_every_test_row_is_scored_once_as_its_bundle_does(prepared: Prepared, tmp_path: Path) -> None:
    mine = scorer(prepared, tmp_path / "store")
    assert score(prepared, tmp_path / "e", mine) == ROWS["test"]
    target, scores = all_scores(str(tmp_path / "e"), "candidate")
    raw = pa.concat_tables([prepared.read(shard) for shard in prepared.raw_test.shards])
    np.testing.assert_allclose(scores, Predictor.load(mine.uri).predict(raw), rtol=1e-12)
    expected = raw[prepared.task.target].to_pylist()
    found = target if prepared.task.kind == "regression" else np.array(prepared.task.classes)[target]
    assert found.tolist() == expected


def test_scoring_a_shard_again_changes_nothing(prepared: Prepared, tmp_path: Path) -> None:
    mine = scorer(prepared, tmp_path / "store")
    score(prepared, tmp_path / "e", mine)
    first = all_scores(str(tmp_path / "e"), "candidate")
    score(prepared, tmp_path / "e", mine)
    assert all(np.array_equal(a, b) for a, b in zip(first, all_scores(str(tmp_path / "e"), "candidate"), strict=True))


def test_two_scorers_score_the_same_rows_in_the_same_order(prepared: Prepared, tmp_path: Path) -> None:
    pair = [scorer(prepared, tmp_path / name, name, seed) for seed, name in enumerate(("candidate", "champion"))]
    score(prepared, tmp_path / "e", *pair)
    (target, ours), (same, theirs) = (all_scores(str(tmp_path / "e"), name) for name in ("candidate", "champion"))
    assert np.array_equal(target, same) and not np.array_equal(ours, theirs)


def test_a_tally_over_shards_is_that_of_all_rows(prepared: Prepared, tmp_path: Path) -> None:
    score(prepared, tmp_path / "e", scorer(prepared, tmp_path / "store"), slices=("colour",))
    whole, by_slice = tally(str(tmp_path / "e"), "candidate", prepared.task, ["colour"])
    target, scores = all_scores(str(tmp_path / "e"), "candidate")
    expected = values_of(measure(prepared.task, target, scores))
    assert values_of(whole.result()) == pytest.approx(expected)
    assert sorted(by_slice["colour"].tallies) == ["(missing)", "green", "red"]
    assert sum(part.rows for part in by_slice["colour"].tallies.values()) == ROWS["test"]


def test_bytes_that_are_no_text_are_no_slice() -> None:
    with pytest.raises(DataError, match="'code' can't be sliced by"):
        _texts(pa.table({"code": [b"\xff"]}), "code")


def test_a_slice_holds_the_rows_of_its_value(prepared: Prepared, tmp_path: Path) -> None:
    score(prepared, tmp_path / "e", scorer(prepared, tmp_path / "store"), slices=("colour",))
    _, by_slice = tally(str(tmp_path / "e"), "candidate", prepared.task, ["colour"])
    colours = raw_rows(ROWS["test"], seed=2)["colour"].to_pylist()
    assert {value: part.rows for value, part in by_slice["colour"].tallies.items()} == {
        "red": colours.count("red"),
        "green": colours.count("green"),
        "(missing)": colours.count(None),
    }


def test_scores_are_read_in_shard_order(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for name, value in (("00002", 2.0), ("00000", 0.0), ("00001", 1.0)):
        store.write_table(f"candidate/{name}.parquet", pa.table({"target": [value], "score": [value]}))
    assert [float(target[0]) for target, _, _ in read_scores(str(tmp_path), "candidate")] == [0.0, 1.0, 2.0]


def test_a_champions_classes_are_put_in_the_candidates_order() -> None:
    own = Task(kind="classification", target="y", classes=("b", "a"))
    wanted = Task(kind="classification", target="y", classes=("a", "b", "c"))
    scores = np.array([[0.3, 0.7]])
    assert aligned(scores, own, wanted).tolist() == [[0.7, 0.3, 0.0]]
    assert aligned(scores, own, own) is scores


def bundle_of(task: Task, **kinds: FeatureType) -> Bundle:
    schema = Schema(columns=tuple(Column(name=name, kind=kind) for name, kind in kinds.items()))
    return cast(Bundle, SimpleNamespace(task=task, schema=schema))


def dataset_of(task: Task, **kinds: FeatureType) -> Prepared:
    schema = bundle_of(task, **kinds).schema
    return cast(Prepared, SimpleNamespace(task=task, schema=schema, raw_columns=lambda: [*kinds, "y"]))


def test_a_champion_whose_scores_would_say_nothing_is_refused_by_name() -> None:
    classes = Task(kind="classification", target="y", classes=("a", "b"))
    values = Task(kind="regression", target="y")
    others = Task(kind="classification", target="y", classes=("0", "1"))
    more = Task(kind="classification", target="y", classes=("b", "c"))
    require_comparable(bundle_of(classes, x="category"), 3, dataset_of(more, x="number", new="number"))
    with pytest.raises(DataError, match=r"version 3.*its task is regression of y, not classification of y"):
        require_comparable(bundle_of(values), 3, dataset_of(classes))
    with pytest.raises(DataError, match=r"needs the column 'x', which the table doesn't have"):
        require_comparable(bundle_of(classes, x="number"), 3, dataset_of(classes, z="number"))
    with pytest.raises(DataError, match=r"reads 'x' as a number, and the column is a category now"):
        require_comparable(bundle_of(classes, x="number"), 3, dataset_of(classes, x="category"))
    with pytest.raises(DataError, match=r"its classes are a, b, and none of 0, 1"):
        require_comparable(bundle_of(classes), 3, dataset_of(others))


def test_an_undefined_metric_is_null_with_its_reason() -> None:
    measured = {"r2": Measured(None, "one value only"), "mae": Measured(0.5)}
    assert values_of(measured) == {"r2": None, "mae": 0.5}
    assert reasons_of(measured) == {"r2": "one value only"}


def test_baselines_are_measured_as_the_model_is() -> None:
    task = Task(kind="regression", target="y")
    scored = (np.arange(5.0), np.arange(5.0) + 0.5)
    assert measure_baselines(task, {"linear": scored})["linear"] == measure(task, *scored)


def test_an_evaluation_exists_once_it_is_written(tmp_path: Path) -> None:
    assert Evaluation.open(str(tmp_path)) is None
    evaluation = Evaluation(
        uri=str(tmp_path),
        run="r-1",
        digest="d",
        dataset_fingerprint="f",
        rows=97,
        metrics={"roc_auc": 0.9, "f1": None},
        reasons={"f1": "no row was predicted"},
        baselines={"constant": {"roc_auc": 0.5}},
        slices={"colour": {"red": {"rows": 3, "roc_auc": None}}},
        confusion=[[1, 2], [3, 4]],
        warnings=["it loses to the tree"],
    )
    evaluation.write()
    assert Evaluation.open(str(tmp_path)) == evaluation
    assert Evaluation.open(str(tmp_path)) != replace(evaluation, rows=98)
