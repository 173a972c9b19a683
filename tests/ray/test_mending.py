"""A walk over a store in which something was lost or changed since the last one."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.run import walk
from raymill.bundle import Bundle
from raymill.console import Console
from raymill.errors import DataError
from raymill.spec import Spec
from raymill.store import Store
from raymill.store_id import store_id
from raymill.tracking import Tracker

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300)})
    table.assign(y=np.where(table.a + table.b > 0, "up", "down")).to_csv(tmp_path / "rows.csv", index=False)
    return Spec.model_validate(
        {
            "name": "mended",
            "task": {"type": "classification", "target": "y"},
            "data": {"source": str(tmp_path / "rows.csv")},
            "model": {"type": "linear"},
            "train": {"epochs": 1},
            "store": str(tmp_path / "store"),
            "tracking": f"sqlite:///{tmp_path}/one.db",
        }
    )


def test_a_lost_bundle_is_made_anew_and_compared_with_mlflows_copy_of_the_champion(spec: Spec) -> None:
    first = walk(spec, "promote", Console(io.StringIO()))
    (Path(first.trained.bundle_uri) / "weights.safetensors").unlink()
    said = io.StringIO()
    again = walk(spec, "promote", Console(said))
    assert "has lost its weights.safetensors. Training goes on from the newest checkpoint." in said.getvalue()
    assert again.trained.best_loss == first.trained.best_loss
    assert again.evaluation.metrics == again.evaluation.champion == first.evaluation.metrics
    champion = again.promotion.champion
    assert champion is not None and champion.digest == first.trained.digest
    assert champion.bundle_uri == f"{spec.store}/champions/mended-{champion.digest[:12]}"
    assert Bundle.damage(champion.bundle_uri, champion.digest) is None


def test_a_champion_of_another_store_is_compared_with_all_the_same(spec: Spec, tmp_path: Path) -> None:
    first = walk(spec, "promote", Console(io.StringIO()))
    shutil.rmtree(tmp_path / "store" / "runs")
    worse = spec.model_copy(update={"train": spec.train.model_copy(update={"seed": 9})})
    kept = walk(worse, "promote", Console(io.StringIO())).promotion
    assert (kept.decision.decision, kept.version.number) == ("keep", 2)
    assert kept.champion is not None and kept.champion.number == first.promotion.version.number
    shutil.rmtree(tmp_path / "store" / "mlflow")
    shutil.rmtree(tmp_path / "store" / "champions")
    with pytest.raises(DataError, match="version 1 of mended, can't be compared with or served") as caught:
        walk(worse, "promote", Console(io.StringIO()))
    assert "take the alias `champion` of mended away" in caught.value.fix


def test_another_tracker_is_told_all_and_gets_its_own_version(spec: Spec, tmp_path: Path) -> None:
    first = walk(spec, "promote", Console(io.StringIO()))
    elsewhere = spec.model_copy(update={"tracking": f"sqlite:///{tmp_path}/two.db"})
    said = io.StringIO()
    again = walk(elsewhere, "promote", Console(said))
    assert said.getvalue().count("already done") == 3
    assert (again.trained.digest, again.promotion.version.number) == (first.trained.digest, 1)
    assert elsewhere.tracking is not None
    root = f"{spec.store}/mlflow"
    tracked = Tracker.open(elsewhere.tracking, spec.name, root, store_id(Store(spec.store))).find(again.trained.run)
    assert tracked is not None and tracked.id == again.trained.run_id != first.trained.run_id
    logged = tracked._client.get_run(tracked.id).data.metrics
    assert logged["test/roc_auc"] == again.evaluation.metrics["roc_auc"]
    assert logged["validation/roc_auc"] == again.trained.validation["roc_auc"]


def test_two_stores_with_the_same_run_have_each_a_run_of_their_own_in_one_mlflow(spec: Spec, tmp_path: Path) -> None:
    first = walk(spec, "train", Console(io.StringIO())).trained
    other = spec.model_copy(update={"store": str(tmp_path / "other")})
    second = walk(other, "train", Console(io.StringIO())).trained
    assert first.run == second.run and first.run_id != second.run_id


def test_a_champion_that_needs_a_lost_column_is_told_before_training(spec: Spec, tmp_path: Path) -> None:
    walk(spec, "promote", Console(io.StringIO()))
    fewer = tmp_path / "fewer.csv"
    pd.read_csv(tmp_path / "rows.csv").drop(columns="a").to_csv(fewer, index=False)
    narrow = spec.model_copy(update={"data": spec.data.model_copy(update={"source": str(fewer)})})
    with pytest.raises(DataError, match=r"champion, version 1, .* needs the column 'a'"):
        walk(narrow, "promote", Console(io.StringIO()))
    assert len(list((tmp_path / "store" / "runs").iterdir())) == 1
