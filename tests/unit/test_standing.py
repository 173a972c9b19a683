"""The standing of a spec, from stores built as the jobs build them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from cluster.cli import main
from cluster.endpoint_record import EndpointRecord
from cluster.endpoint_standing import standing_of
from raymill.checkpoint import Checkpoint, Checkpoints
from raymill.console import Console
from raymill.evaluation import Evaluation
from raymill.history import HistoryWriter
from raymill.job_record import JobRecord
from raymill.prepared import FORMAT, Prepared
from raymill.run import Run, Trained
from raymill.spec import Spec
from raymill.spec_text import load_spec
from raymill.standing import Standing
from raymill.store import Store
from tests.unit.test_history import record
from tests.unit.test_prepared import _write as write_dataset

SPEC = "name: t\ntask: {type: classification, target: y}\ndata: {source: t.csv}\ntrain: {epochs: 5}\nstore: store\n"


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "t.yaml").write_text(SPEC)
    return str(tmp_path / "t.yaml")


@pytest.fixture
def spec(path: str) -> Spec:
    return load_spec(path)


def _dataset(spec: Spec, name: str = "t-0123456789ab") -> Prepared:
    return write_dataset(Path(spec.store) / "datasets" / name)


def _train(spec: Spec, *, epochs: int, checkpoint_steps: tuple[int, ...] = ()) -> Run:
    """A run with epochs of ten steps and checkpoints, as it is before it ends."""
    run = Run.of(spec, _dataset(spec))
    run.save_spec(spec.to_json())
    history = HistoryWriter(run.store, run.history)
    for epoch in range(1, epochs + 1):
        history.add(record(epoch))
    history.close()
    for step in checkpoint_steps:
        saved = Checkpoint(step=step, tensors={"w": torch.zeros(1)}, facts={})
        Checkpoints(run.store, run.checkpoints).write(saved)
    return run


def _finish(run: Run, *, epochs: int, status: str = "finished") -> None:
    facts = {"status": status, "epochs": epochs, "steps": epochs * 10, "best_epoch": 2, "best_loss": 0.1}
    uris = {"bundle_uri": "b", "digest": "d", "dataset_uri": "u", "dataset_fingerprint": "f"}
    run.conclude(Trained(run=run.name, run_id="r", validation={}, **facts, **uris))


def _evaluate(spec: Spec, run: str, champion: dict[str, float | None] | None = None) -> Evaluation:
    evaluation = Evaluation(
        uri=f"{spec.store}/evaluations/{run}/0123456789ab",
        run=run,
        digest="d",
        dataset_fingerprint="f",
        rows=1234,
        metrics={"roc_auc": 0.91234, "accuracy": 0.8},
        reasons={},
        baselines={"constant": {"roc_auc": 0.5}, "linear": {"roc_auc": None}},
        slices={},
        confusion=None,
        champion=champion,
    )
    evaluation.write()
    return evaluation


def _lines(spec: Spec, label: str) -> list[str]:
    lines = list(Standing.of(spec, None).lines())
    return [line.removeprefix(f"{label:9} ") for line in lines if line.startswith(f"{label:9} ")]


def test_of_a_walk_that_has_not_begun_nothing_is_there(spec: Spec) -> None:
    lines = list(Standing.of(spec, None).lines())
    none = [
        "dataset   none yet",
        "run       none yet",
        "evaluated none yet",
        "job       none yet",
        "endpoint  none yet",
    ]
    assert lines == [f"store     {spec.store}", *none]
    assert not Path(spec.store).exists()


def test_a_prepared_dataset_is_told_with_its_rows(spec: Spec) -> None:
    uri = _dataset(spec).uri
    Store(spec.store).write_bytes("datasets/t-ffffffffffff/train/0.parquet", b"half prepared")
    (line,) = _lines(spec, "dataset")
    assert line.startswith(f"{uri}: train 3, validation 0, test 0 rows of t.csv, made 20")


def test_a_dataset_of_another_format_is_told_as_such(spec: Spec) -> None:
    manifest = Path(_dataset(spec).uri) / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"format": {FORMAT}', '"format": 99'))
    (line,) = _lines(spec, "dataset")
    assert "has the format 99" in line


def test_an_unfinished_run_says_where_it_continues(spec: Spec) -> None:
    run = _train(spec, epochs=3, checkpoint_steps=(20, 25))
    (line,) = _lines(spec, "run")
    assert line.startswith(f"{run.name}: unfinished, 3 of 5 epochs")
    assert line.endswith("continues from step 25 of epoch 3")


def test_a_run_without_a_checkpoint_says_so(spec: Spec) -> None:
    run = _train(spec, epochs=0)
    (line,) = _lines(spec, "run")
    assert line.startswith(f"{run.name}: unfinished, 0 of 5 epochs") and line.endswith("no checkpoint yet")


@pytest.mark.parametrize(("status", "epochs"), [("finished", 5), ("stopped early", 3)])
def test_a_run_that_has_ended_says_how(spec: Spec, status: str, epochs: int) -> None:
    run = _train(spec, epochs=epochs, checkpoint_steps=(epochs * 10,))
    _finish(run, epochs=epochs, status=status)
    assert _lines(spec, "run")[0].startswith(f"{run.name}: {status}, {epochs} of 5 epochs, last written 20")


def test_a_finished_run_that_is_being_extended_is_unfinished(spec: Spec) -> None:
    run = _train(spec, epochs=3, checkpoint_steps=(20,))
    _finish(run, epochs=2)
    standing = Standing.of(spec, None).runs[0]
    assert standing.state == "finished"
    _train(spec, epochs=3, checkpoint_steps=(28,))
    standing = Standing.of(spec, None).runs[0]
    assert (standing.state, standing.epochs, standing.checkpoint_step) == ("unfinished", 3, 28)


def test_an_evaluation_tells_the_main_metric_beside_the_others(spec: Spec) -> None:
    _evaluate(spec, "t-01234567", champion={"roc_auc": 0.9})
    (line,) = _lines(spec, "evaluated")
    others = "(constant 0.5000, linear undefined, champion 0.9000)"
    assert line.startswith(f"t-01234567: roc_auc 0.9123 on 1,234 test rows {others}, made 20")


def test_the_gate_names_the_main_metric(spec: Spec, path: str) -> None:
    _evaluate(spec, "t-01234567")
    assert Standing.of(load_spec(path, ["evaluate.gate.metric=accuracy"]), None).evaluations[0].value == 0.8


def test_only_what_bears_the_name_of_the_spec_is_told_in_the_order_of_time(spec: Spec) -> None:
    for age_s, name in ((10, "t-aaaaaaaaaaaa"), (20, "t-bbbbbbbbbbbb"), (0, "t-2-cccccccccccc")):
        manifest = Path(_dataset(spec, name).uri) / "manifest.json"
        at_s = manifest.stat().st_mtime - age_s
        os.utime(manifest, (at_s, at_s))
    _evaluate(spec, "t-2-01234567")
    standing = Standing.of(spec, None)
    assert [Path(dataset.uri).name for dataset in standing.datasets] == ["t-bbbbbbbbbbbb", "t-aaaaaaaaaaaa"]
    assert standing.evaluations == ()


@pytest.mark.parametrize(("answers", "words"), [(True, ", answers"), (False, "does not answer from here")])
def test_an_endpoint_is_told_as_recorded_and_whether_it_answers(
    spec: Spec, answers: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _record("http://127.0.0.1:8000").write(Store(spec.store))
    monkeypatch.setattr(EndpointRecord, "is_alive", answers)
    standing = Standing.of(spec, standing_of(spec, None, Console()))
    line = list(standing.lines())[-1]
    assert line.startswith("endpoint  http://127.0.0.1:8000: version 3, started 2026-01-01T00:00:00+00:00")
    assert line.endswith(words)


def _record(url: str) -> EndpointRecord:
    started = "2026-01-01T00:00:00+00:00"
    return EndpointRecord(name="t", url=url, version="3", ray_address="a", pid=1, started=started, args={})


def test_the_newest_jobs_are_told_with_what_became_of_them(spec: Spec) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for minute in range(7):
        job = JobRecord.begin("t", "train", "train t.yaml", "embedded", noon + timedelta(minutes=minute))
        failed = {"state": "failed", "error": {"what": "No such column.", "fix": "Correct it."}}
        dataclasses.replace(job, **(failed if minute == 6 else {})).write(Store(spec.store))
    lines = _lines(spec, "job")
    assert [line.partition(": ")[2] for line in lines] == [
        *(f"lost, started 2026-01-01T12:0{minute}:00Z" for minute in range(2, 6)),
        "failed, started 2026-01-01T12:06:00Z; No such column.",
    ]


def test_the_command_prints_lines_or_one_json_object(spec: Spec, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = _train(spec, epochs=3, checkpoint_steps=(25,))
    _record("http://127.0.0.1:1").write(Store(spec.store))
    assert main(["status", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:10].strip() for line in lines] == ["store", "dataset", "run", "evaluated", "job", "endpoint"]
    assert main(["status", path, "--json", "train.epochs=7"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["job"] == "status" and report["status"] == "succeeded"
    assert report["datasets"][0]["rows"] == {"train": 3, "validation": 0, "test": 0}
    asked = dataclasses.asdict(Standing.of(spec, None).runs[0])
    assert report["runs"] == [asked] and asked["run"] == run.name
    assert report["evaluations"] == [] and report["endpoint"]["answers"] is False


def test_it_loads_neither_ray_nor_mlflow_nor_torch() -> None:
    code = "import sys, raymill.standing; sys.exit(bool({'ray', 'mlflow', 'torch', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
