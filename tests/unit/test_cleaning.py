"""Cleaning takes what no result needs, an hour after its last write, and never anything else."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest
import torch

from raymill.bundled import materialise
from raymill.checkpoint import Checkpoint, Checkpoints
from raymill.cleaning import clean
from raymill.console import Console
from raymill.evaluation import Evaluation
from raymill.history import HistoryWriter
from raymill.lease import lease
from raymill.run import Run, Trained
from raymill.spec import Spec
from raymill.store import Store
from tests.unit.test_history import record
from tests.unit.test_prepared import _write as write_dataset

DATASET = "datasets/t-0123456789ab"
RUN = "runs/t-01234567"
SCORES = "evaluations/t-01234567/0123456789ab-carrier"


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    task, data = {"type": "classification", "target": "y"}, {"source": "t.csv"}
    return Spec.model_validate({"name": "t", "task": task, "data": data, "store": str(tmp_path / "store")})


@pytest.fixture
def store(spec: Spec) -> Store:
    return Store(spec.store)


def _age(store: Store, *paths: str, seconds: float = 3_700) -> None:
    """Makes files, and all in folders, older than they are."""
    for path in paths:
        place = Path(store.uri, path)
        for file in [place, *place.rglob("*")]:
            at_s = file.stat().st_mtime - seconds
            os.utime(file, (at_s, at_s))


def _checkpoints(store: Store, *steps: int) -> list[str]:
    written = Checkpoints(store, f"{RUN}/checkpoints")
    for step in steps:
        written.write(Checkpoint(step=step, tensors={"w": torch.zeros(3)}, facts={}))
    return [file.path for file in store.files(f"{RUN}/checkpoints")]


def _finish(store: Store) -> None:
    facts = {"status": "finished", "epochs": 1, "steps": 2, "best_epoch": 1, "best_loss": 0.1, "validation": {}}
    uris = {"bundle_uri": "b", "digest": "d", "dataset_uri": "u", "dataset_fingerprint": "f"}
    store.write_bytes(f"{RUN}/bundle/weights.safetensors", b"weights")
    store.write_bytes(f"{RUN}/bundle/bundle.json", b"{}")
    Run(name="t-01234567", store=store).conclude(Trained(run="t-01234567", run_id="r", **facts, **uris))


def _evaluate(store: Store, path: str) -> None:
    store.write_bytes(f"{path}/candidate/0.parquet", b"scores")
    Evaluation(
        uri=f"{store.uri}/{path}",
        run="t-01234567",
        digest="d",
        dataset_fingerprint="f",
        rows=1,
        metrics={},
        reasons={},
        baselines={},
        slices={},
        confusion=None,
    ).write()


def test_a_store_that_is_not_there_stays_away(spec: Spec, store: Store) -> None:
    assert clean(spec, Console(io.StringIO())) == []
    assert not Path(store.uri).exists()


def test_a_dataset_without_a_manifest_goes_whole(spec: Spec, store: Store) -> None:
    store.write_bytes(f"{DATASET}/train/0.parquet", b"x" * 1000)
    store.write_bytes(f"{DATASET}/profile.json", b"{}")
    store.write_bytes(f"{DATASET}/lease.json", b"{}")
    store.write_bytes(f"{DATASET}/raw_test/1.parquet.0a1b2c3d.partial", b"x" * 998)
    assert clean(spec, Console(io.StringIO())) == []
    _age(store, DATASET)
    stream = io.StringIO()
    assert clean(spec, Console(stream)) == [DATASET]
    assert not Path(store.uri, DATASET).exists()
    assert "(2 kB): a dataset without a manifest" in stream.getvalue() and "freed 2 kB" in stream.getvalue()


def test_one_young_file_keeps_its_folder(spec: Spec, store: Store) -> None:
    store.write_bytes(f"{DATASET}/train/0.parquet", b"x")
    _age(store, DATASET)
    store.write_bytes(f"{DATASET}/train/1.parquet", b"x")
    assert clean(spec, Console(io.StringIO())) == []


def test_a_dataset_that_is_being_prepared_stays_however_long_no_shard_is_written(spec: Spec, store: Store) -> None:
    store.write_bytes(f"{DATASET}/train/0.parquet", b"x")
    _age(store, DATASET)
    with lease(store, f"{DATASET}/lease.json", "The dataset"):
        assert clean(spec, Console(io.StringIO())) == []
    assert clean(spec, Console(io.StringIO())) == [DATASET]


def test_an_evaluation_without_its_manifest_goes_and_others_stay(spec: Spec, store: Store) -> None:
    store.write_bytes(f"{SCORES}/candidate/0.parquet", b"x")
    _evaluate(store, "evaluations/t-01234567/aaaaaaaaaaaa")
    _evaluate(store, "evaluations/t-01234567/bbbbbbbbbbbb-a/b")
    _age(store, "evaluations")
    assert clean(spec, Console(io.StringIO())) == [SCORES]
    assert store.exists("evaluations/t-01234567/aaaaaaaaaaaa/candidate/0.parquet")
    assert store.exists("evaluations/t-01234567/bbbbbbbbbbbb-a/b/candidate/0.parquet")


def test_of_a_finished_run_only_the_newest_checkpoint_is_kept(spec: Spec, store: Store) -> None:
    old, newest = _checkpoints(store, 10, 20)
    _finish(store)
    assert clean(spec, Console(io.StringIO())) == [old]
    assert [f.path for f in store.files(f"{RUN}/checkpoints")] == [newest]
    assert store.exists(f"{RUN}/bundle/weights.safetensors") and store.exists(f"{RUN}/train.json")


def test_a_damaged_newest_checkpoint_goes_and_the_one_before_it_stays(spec: Spec, store: Store) -> None:
    whole, damaged = _checkpoints(store, 10, 20)
    store.write_bytes(damaged, b"torn")
    _finish(store)
    assert clean(spec, Console(io.StringIO())) == [damaged]
    store.write_bytes(damaged, b"torn")
    store.write_bytes(whole, b"torn")
    _age(store, RUN)
    assert clean(spec, Console(io.StringIO())) == []


def test_an_unfinished_run_keeps_all(spec: Spec, store: Store) -> None:
    _checkpoints(store, 10, 20)
    _age(store, RUN)
    assert clean(spec, Console(io.StringIO())) == []


@pytest.mark.parametrize("sign", ["checkpoints", "history", "spec.json"])
def test_a_finished_run_that_is_being_extended_keeps_all_until_it_has_rested(
    spec: Spec, store: Store, sign: str
) -> None:
    old, _ = _checkpoints(store, 10, 20)
    HistoryWriter(store, f"{RUN}/history").add(record(1))
    store.write_json(f"{RUN}/spec.json", {})
    _finish(store)
    _age(store, RUN, seconds=60)
    for file in [Path(store.uri, f"{RUN}/{sign}"), *Path(store.uri, f"{RUN}/{sign}").rglob("*")]:
        os.utime(file)
    assert clean(spec, Console(io.StringIO())) == []
    _age(store, RUN)
    assert clean(spec, Console(io.StringIO())) == [old]


def test_what_ray_left_goes_when_the_whole_run_rests(spec: Spec, store: Store) -> None:
    store.write_bytes(f"{RUN}/ray/0a1b2c3d/snapshot.json", b"{}")
    store.write_bytes(f"{RUN}/history/000001.json", b"[]")
    _age(store, f"{RUN}/ray")
    assert clean(spec, Console(io.StringIO())) == []
    _age(store, f"{RUN}/history")
    assert clean(spec, Console(io.StringIO())) == [f"{RUN}/ray"]
    assert store.exists(f"{RUN}/history/000001.json")


def test_half_written_files_go_only_where_raymill_writes(spec: Spec, store: Store) -> None:
    ours = f"{RUN}/bundle/weights.safetensors.0a1b2c3d.partial"
    young = f"{RUN}/train.json.0a1b2c3d.partial"
    theirs = ["mlflow/model.0a1b2c3d.partial", "datasets/mine/film.partial", f"{RUN}/film.partial"]
    for path in (ours, young, *theirs):
        store.write_bytes(path, b"x")
        _age(store, path)
    os.utime(Path(store.uri, young))
    assert clean(spec, Console(io.StringIO())) == [ours]


def test_what_an_endpoint_logged_stays_and_a_file_of_it_that_was_never_finished_goes(spec: Spec, store: Store) -> None:
    hour = "date=2026-11-26/hour=09/r1-20261126T090000Z-000000.parquet"
    kept = [f"endpoints/t/{part}/{hour}" for part in ("requests", "feedback")]
    torn = [f"{path}.0a1b2c3d.partial" for path in kept]
    for path in (*kept, *torn):
        store.write_bytes(path, b"x")
    assert clean(spec, Console(io.StringIO())) == []
    _age(store, "endpoints", seconds=10**8)
    assert sorted(clean(spec, Console(io.StringIO()))) == sorted(torn)
    assert [file.path for file in store.files("endpoints", recursive=True)] == sorted(kept)


def test_a_bundled_table_of_another_version_goes(spec: Spec, store: Store) -> None:
    current = materialise("diabetes", store).removeprefix(f"{store.uri}/")
    paths = ["sources/diabetes-0.1.parquet", "sources/iris-0.1.parquet", "sources/mine.parquet"]
    for path in paths:
        store.write_bytes(path, b"x")
    assert clean(spec, Console(io.StringIO())) == []
    _age(store, "sources")
    assert clean(spec, Console(io.StringIO())) == paths[:1]
    assert store.exists(current)


def test_a_dead_prepare_goes_with_its_notes_of_what_was_written(spec: Spec, store: Store) -> None:
    store.write_bytes(f"{DATASET}/train/00000-t-0.parquet", b"x")
    store.write_json(f"{DATASET}/done/00000-t-0.json", {})
    _age(store, "datasets")
    assert clean(spec, Console(io.StringIO())) == [DATASET]


def test_the_newest_jobs_of_each_name_are_kept(spec: Spec, store: Store) -> None:
    mine = [f"jobs/t-train-20261122-1200{second:02}-abcd" for second in range(24)]
    other = "jobs/t-train-run-20261122-110000-abcd"  # of a spec t-train
    for path in (*mine, other):
        store.write_bytes(f"{path}/job.json", b"x")
        store.write_bytes(f"{path}/workers.log", b"x")
    store.write_bytes(f"{other}/job.json.01234567.partial", b"x")
    _age(store, *mine[:3], other)
    removed = clean(spec, Console(io.StringIO()))
    assert removed == [*mine[:3], f"{other}/job.json.01234567.partial"]
    assert {file.path.split("/")[1] for file in store.files("jobs", recursive=True)} == {
        path.removeprefix("jobs/") for path in (*mine[3:], other)
    }


def test_nothing_that_a_result_needs_and_nothing_of_others_is_touched(spec: Spec, store: Store) -> None:
    write_dataset(Path(store.uri, "datasets/t-ffffffffffff"))
    _checkpoints(store, 10)
    _finish(store)
    _evaluate(store, SCORES)
    HistoryWriter(store, f"{RUN}/history").add(record(1))
    for path in (
        f"{RUN}/baselines/linear/0.parquet",
        "mlflow.db",
        "mlflow/1/artifacts/spec.json",
        "endpoints/t.json",
        "datasets/mine/train/0.parquet",  # a name that raymill doesn't give
        f"{DATASET}/train/0.parquet",
        f"{DATASET}/train/notes.txt",  # a file that it doesn't write
        "evaluations/mine/0123456789ab/candidate/0.parquet",
        "runs/mine/ray/x",
    ):
        store.write_bytes(path, b"x")
    _age(store, "", seconds=10**6)
    before = store.files(recursive=True)
    assert clean(spec, Console(io.StringIO())) == []
    assert store.files(recursive=True) == before


def test_what_lies_behind_a_link_out_of_the_store_stays(spec: Spec, store: Store, tmp_path: Path) -> None:
    outside = Store(str(tmp_path / "outside"))
    outside.write_bytes("train/0.parquet", b"x")
    outside.write_bytes("t-aaaaaaaaaaaa/train/0.parquet", b"x")
    Path(store.uri, "datasets").mkdir(parents=True)
    Path(store.uri, DATASET).symlink_to(outside.uri)
    (Path(outside.uri, "runs") / "t-01234567" / "ray").mkdir(parents=True)
    outside.write_bytes("runs/t-01234567/ray/x", b"x")
    Path(store.uri, "runs").symlink_to(Path(outside.uri, "runs"))
    _age(outside, "")
    assert clean(spec, Console(io.StringIO())) == []
    assert len(outside.files(recursive=True)) == 3 and Path(store.uri, DATASET).exists()


def test_a_clock_that_is_behind_removes_nothing(spec: Spec, store: Store) -> None:
    store.write_bytes(f"{DATASET}/train/0.parquet", b"x")
    at_s = time.time() + 10**6
    os.utime(Path(store.uri, f"{DATASET}/train/0.parquet"), (at_s, at_s))
    assert clean(spec, Console(io.StringIO())) == []
