"""An output holds the predictions of one input by one bundle, whatever was killed on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymill.errors import DataError, ResourceError
from raymill.lease import lease
from raymill.predictions import (
    MANIFEST,
    STARTED,
    Predicted,
    Predictions,
    require_apart,
    require_free_names,
    with_answers,
)
from raymill.predictor import Predictor
from raymill.source import Source
from raymill.store import Store
from raymill.task import Task
from tests.bundles import write_bundle

TABLE = pa.table({"id": [1]})
NAMES = ["0.parquet", "1.parquet"]


@pytest.fixture
def output(tmp_path: Path) -> Predictions:
    return Predictions(store=Store(str(tmp_path / "out")), source="s" * 64, digest="d" * 64, key=("id",))


def other(output: Predictions, field: str) -> Predictions:
    return replace(output, **{field: ("other",) if field == "key" else "other"})


def killed(output: Predictions) -> None:
    """What a process leaves that dies in its second piece."""
    output.start(NAMES)
    output.store.write_table("0.parquet", TABLE)


def finished(output: Predictions) -> Predicted:
    killed(output)
    predicted = Predicted(uri=output.store.uri, rows=2, version=3)
    output.finish(predicted)
    return predicted


@pytest.mark.parametrize(("field", "name"), [("source", "input"), ("digest", "model"), ("key", r"data\.key")])
def test_a_half_written_output_takes_no_other_predictions(output: Predictions, field: str, name: str) -> None:
    killed(output)
    with pytest.raises(DataError, match=rf"out holds half-written predictions of another {name}\.\nName another"):
        other(output, field).start(["0.parquet"])


@pytest.mark.parametrize(("field", "name"), [("source", "input"), ("digest", "model"), ("key", r"data\.key")])
def test_a_finished_output_takes_no_other_predictions(output: Predictions, field: str, name: str) -> None:
    finished(output)
    with pytest.raises(DataError, match=rf"out holds predictions of another {name}\.\nName another"):
        other(output, field).found()


def test_the_same_work_continues_with_the_pieces_that_are_there(output: Predictions) -> None:
    killed(output)
    torn = Path(output.store.uri, "1.parquet.0a1b2c3d.partial")
    torn.write_bytes(b"half")
    output.start(NAMES)
    assert [file.path for file in output.store.files()] == ["0.parquet", STARTED]
    assert not torn.exists()


@pytest.mark.parametrize("stranger", ["0.parquet", "1.parquet", "notes.txt", "sub/2.parquet"])
def test_files_without_a_start_are_strangers(output: Predictions, stranger: str) -> None:
    output.store.write_table(stranger, TABLE)
    with pytest.raises(DataError, match=rf"holds other files \({stranger}\)"):
        output.start(NAMES)
    assert not output.store.exists(STARTED)


def test_a_file_that_is_no_piece_is_a_stranger_after_a_start_too(output: Predictions) -> None:
    killed(output)
    output.store.write_table("7.parquet", TABLE)
    with pytest.raises(DataError, match=r"holds other files \(7\.parquet\)"):
        output.start(NAMES)


def test_the_manifest_is_last_and_ends_the_start(output: Predictions) -> None:
    assert output.found() is None
    predicted = finished(output)
    assert output.found() == predicted
    assert [file.path for file in output.store.files()] == ["0.parquet", MANIFEST]


def test_a_start_that_outlived_the_manifest_is_removed(output: Predictions) -> None:
    predicted = finished(output)
    output.store.write_json(STARTED, {})
    assert output.found() == predicted
    assert not output.store.exists(STARTED)


def test_a_manifest_of_another_version_is_told(output: Predictions) -> None:
    finished(output)
    data = output.store.read_json(MANIFEST)
    output.store.write_json(MANIFEST, data | {"predicted": {"uri": "x"}})
    with pytest.raises(DataError, match=r"_manifest\.json was written by another version.*'rows'"):
        output.found()


def test_two_at_once_are_refused(output: Predictions) -> None:
    with lease(output.store, "_lease.json", "The output"):
        with pytest.raises(ResourceError, match="out is being worked on"), output.lease():
            pass
        output.start(NAMES)


@pytest.mark.parametrize("name", ["prediction", "p_no", "p_yes"])
def test_a_kept_column_with_the_name_of_an_answer_is_refused(name: str) -> None:
    task = Task(kind="classification", target="y", classes=("no", "yes"))
    with pytest.raises(DataError, match=rf"column '{name}' .*\nRename it, or leave it out of the input"):
        require_free_names(task, ["id", name])
    require_free_names(task, ["id", "y", "p_maybe"])


@pytest.mark.parametrize("field", ["source", "digest", "key"])
def test_a_claim_of_which_nothing_was_written_gives_way(output: Predictions, field: str) -> None:
    output.start(NAMES)
    other(output, field).start(NAMES)
    killed(other(output, field))
    with pytest.raises(DataError, match="half-written predictions of another"):
        output.start(NAMES)


def test_the_output_is_apart_from_the_input(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "t.csv").write_text("a\n1\n")
    source = Source.open(str(tmp_path / "in"))
    for folder in ("in", "in/out", "."):
        with pytest.raises(DataError, match=r"overlap.*\nName an --output of its own"):
            require_apart(source, Store(str(tmp_path / folder)))
    require_apart(source, Store(str(tmp_path / "out")))


def test_answers_are_the_last_columns_and_all_others_keep_their_types_and_values(tmp_path: Path) -> None:
    predictor = Predictor.load(str(tmp_path), write_bundle(str(tmp_path)))
    own = {
        "id": pa.array([10**30 + 1], pa.decimal128(38, 0)),
        "day": pa.array([19_000], pa.int32()).cast(pa.date32()),
        "half": pa.array([0.5], pa.float16()),
        "list": pa.array([[1, 2]]),
    }
    pq.write_table(pa.table({**own, "a": [1.0], "b": [2.0], "color": ["red"]}), tmp_path / "t.parquet")
    rows = Source.open(str(tmp_path / "t.parquet")).pieces[0].read()
    scored = with_answers(rows, predictor, rows)
    assert scored.column_names == [*own, "a", "b", "color", "prediction", "p_no", "p_yes"]
    assert scored.select(list(own)).equals(pa.table(own))
    assert scored["prediction"].to_pylist() in (["no"], ["yes"])
