"""The predict job on one small Ray: a dead one is continued, and no two inputs mix in an output."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.predict import PredictPiece, score
from raymill.console import Console
from raymill.errors import DataError
from raymill.registry import Version
from raymill.source import Source
from raymill.store import Store
from tests.bundles import write_bundle

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture
def version(tmp_path: Path) -> Version:
    uri = str(tmp_path / "bundle")
    return Version(name="m", number=4, bundle_uri=uri, digest=write_bundle(uri), run_id=None)


def source(folder: Path, files: int) -> Source:
    """A source of one piece per file, 10 rows each."""
    folder.mkdir()
    for i in range(files):
        columns = {"id": np.arange(10) + 10 * i, "a": np.arange(10.0), "b": np.ones(10), "color": ["red"] * 10}
        pq.write_table(pa.table(columns), folder / f"{i}.parquet")
    return replace(Source.open(str(folder)), parquet_piece_bytes=600)


def test_what_the_data_has_wrong_is_named_and_the_mended_input_is_scored(tmp_path: Path, version: Version) -> None:
    out, console = Store(str(tmp_path / "out")), Console(io.StringIO())
    (tmp_path / "in").mkdir()

    def put(name: str, text: str) -> Source:
        (tmp_path / "in" / name).write_text(text)
        return Source.open(str(tmp_path / "in"))

    lacking = put("1.csv", "id,a,color\n1,2,red\n")
    with pytest.raises(DataError, match="no column 'b', which the model names"):
        score(lacking, version, (), out, console)
    taken = put("1.csv", "id,a,b,color,prediction\n1,2,3,red,no\n")
    with pytest.raises(DataError, match="column 'prediction' has the name"):
        score(taken, version, (), out, console)
    assert not out.exists("")
    put("1.csv", "id,a,b,color\n1,2,3,red\n")
    bad = put("2.csv", "id,a,b,color\n1,2,3,red\n2,2,three,red\n")
    with pytest.raises(DataError, match=r"row 1 of 2\.csv .* holds 'three'.*\n.*: the model was trained with a number"):
        score(bad, version, (), out, console)
    assert score(put("2.csv", "id,a,b,color\n1,2,3,red\n"), version, (), out, console).rows == 2


def test_a_dead_prediction_is_continued_by_its_own_input_and_by_no_other(tmp_path: Path, version: Version) -> None:
    first, second = source(tmp_path / "first", 5), source(tmp_path / "second", 2)
    out, console = Store(str(tmp_path / "out")), Console(io.StringIO())
    whole = score(first, version, ("id",), out, console)
    out.delete("_manifest.json")
    identity = {"source": first.fingerprint, "digest": version.digest, "key": ["id"]}
    out.write_json("_started.json", identity)
    names = [file.path for file in out.files() if file.path.endswith(".parquet")]
    out.delete(names[3])
    kept = {file.path: file.changed_ns for file in out.files()}
    with pytest.raises(DataError, match="half-written predictions of another input"):
        score(second, version, ("id",), out, console)
    assert score(first, version, ("id",), out, console) == whole
    assert whole.rows == 50
    assert [file.path for file in out.files()] == [*names, "_manifest.json"]
    assert all(out.stat(name).changed_ns == kept[name] for name in names if name in kept)
    assert sorted(pq.read_table(tmp_path / "out")["id"].to_pylist()) == list(range(50))
    with pytest.raises(DataError, match="overlap"):
        score(first, version, ("id",), Store(str(tmp_path / "first")), console)


class LaterFinished(Store):
    """A store where what another process finished is seen only at the second look."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.looked = False

    def exists(self, path: str) -> bool:
        if path == "_manifest.json" and not self.looked:
            self.looked = True
            return False
        return super().exists(path)


def test_what_another_process_finished_in_the_meantime_is_already_done(tmp_path: Path, version: Version) -> None:
    rows, out, said = source(tmp_path / "in", 2), str(tmp_path / "out"), io.StringIO()
    first = score(rows, version, (), Store(out), Console(io.StringIO()))
    assert score(rows, version, (), LaterFinished(out), Console(said)) == first
    assert "already done" in said.getvalue()
    assert not Store(out).exists("_lease.json")


def test_a_damaged_bundle_is_no_fault_of_the_piece_that_it_would_score(tmp_path: Path, version: Version) -> None:
    (piece,) = source(tmp_path / "in", 1).pieces
    Store(version.bundle_uri).write_bytes("weights.safetensors", b"other")
    work = PredictPiece(
        piece=piece, bundle_uri=version.bundle_uri, digest=version.digest, key=(), into=str(tmp_path / "out")
    )
    with pytest.raises(DataError, match=r"^The bundle ") as caught:
        work()
    assert "0.parquet" not in caught.value.what
