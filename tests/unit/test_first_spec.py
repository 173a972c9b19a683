from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymill.console import Console
from raymill.errors import DataError, SpecError
from raymill.first_spec import spec_name, write_first_spec
from raymill.first_target import FirstTarget
from raymill.first_text import first_text, quoted
from raymill.glimpse import Glimpse
from raymill.source import Source
from raymill.spec import Spec, TaskSpec
from raymill.spec_text import load_spec, parse_spec
from raymill.statistics import TableSummary
from tests.unit.test_glimpse import glimpse

ROWS = 40


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _csv(path: Path, columns: dict[str, list[object]]) -> Path:
    def cell(value: object) -> str:
        text = "" if value is None else str(value)
        return '"' + text.replace('"', '""') + '"'

    rows = [list(columns), *zip(*columns.values(), strict=True)]
    path.write_text("\n".join(",".join(map(cell, row)) for row in rows) + "\n", encoding="utf-8")
    return path


def _init(data: str, target: str | None = None) -> tuple[Spec, str, str]:
    """The spec that was written, its text, and what the user was told."""
    stream = io.StringIO()
    path = write_first_spec(data, target, Console(stream))
    return load_spec(path), Path(path).read_text(encoding="utf-8"), stream.getvalue()


def _plain(**more: list[object]) -> dict[str, list[object]]:
    return {"age": [20 + i % 30 for i in range(ROWS)], **more}


def test_a_table_becomes_a_spec_beside_it(here: Path) -> None:
    _csv(here / "My table.csv", _plain(bought=["yes", "no"] * (ROWS // 2)))
    spec, text, said = _init("My table.csv")
    assert spec.name == "my-table"
    assert (spec.task.type, spec.task.column) == ("classification", "bought")
    assert spec.data.source == str(here / "My table.csv")
    assert "source: My table.csv" in text
    assert "2 classes: no 50.0%, yes 50.0%" in text and "#   age  number     20 to 49" in text
    assert "looked at all 40 rows, 2 columns" in said and "wrote my-table.yaml" in said


def test_awkward_column_names_are_quoted_where_yaml_needs_it(here: Path) -> None:
    names = ["no", "größe, cm", "a: b", "#tag", "{x}", "two\nlines", "  padded ", "1", "'"]
    columns: dict[str, list[object]] = {name: [i % 7 for i in range(ROWS)] for name in names}
    when: list[object] = [f"2024-01-{1 + i % 28:02d}" for i in range(ROWS)]
    _csv(here / "t.csv", {**columns, "sold: at": when, "Kunden-Nr: id": list(range(ROWS)), "y: [€]": ["a", "b"] * 20})
    spec, text, _ = _init("t.csv")
    assert spec.task.column == "y: [€]" and spec.data.key == ("Kunden-Nr: id",)
    for name in names:
        assert f"#   {quoted(name)} " in text
        other, _, _ = _renamed(here, name)
        assert other.task.column == name
    by_time = next(line for line in text.splitlines() if "by: time" in line)
    lines = [line for line in text.splitlines() if not line.startswith("  split:")]
    forward = parse_spec("\n".join(lines).replace(by_time, by_time.replace("# ", "")), "t.yaml")
    assert forward.data.split.column == "sold: at"


def _renamed(here: Path, target: str) -> tuple[Spec, str, str]:
    (here / "t.yaml").unlink()
    return _init("t.csv", target)


@settings(deadline=None)
@given(name=st.text(min_size=1, max_size=30), label=st.text(max_size=30))
def test_any_column_name_and_any_label_make_a_spec(name: str, label: str) -> None:
    table = pa.table({name: [label, "b"] * 10, f"{name}2": list(range(20)), f"{name} id": list(range(20, 40))})
    summary = TableSummary.of(table, np.ones(20, bool))
    target = FirstTarget(task=TaskSpec(type="classification", target=name), reason="asked for")
    spec = parse_spec(first_text("t", "t.csv", Glimpse(summary=summary, total_rows=20), target), "t.yaml")
    assert spec.task.column == name and spec.data.key == (f"{name} id",)


def test_identifiers_are_no_features(here: Path) -> None:
    ids = {
        "n": list(range(1, ROWS + 1)),
        "customerId": [f"c{i * 7}" for i in range(ROWS)],
        "order_id": [i * 3 for i in range(ROWS)],
        "name": [f"Anna {i}" for i in range(ROWS)],
        "shop_id": [i % 4 for i in range(ROWS)],
        "price": [i * 11 for i in range(ROWS)],
    }
    _csv(here / "t.csv", {**ids, "sold": ["yes", "no"] * (ROWS // 2)})
    spec, text, _ = _init("t.csv")
    assert spec.data.key == ("customerId",)
    assert spec.features.ignore == ("n", "order_id", "name")
    assert "# split: {by: group, column: shop_id" in text and "column: price" not in text


def test_what_the_schema_leaves_out_is_said_with_its_reason(here: Path) -> None:
    _csv(here / "t.csv", _plain(same=[1] * ROWS, none=[None] * ROWS, y=["a", "b"] * (ROWS // 2)))
    _, text, _ = _init("t.csv")
    assert "#   same  one constant value\n#   none  only missing cells\n" in text


def test_missing_cells_are_shown_as_a_share(here: Path) -> None:
    _csv(here / "t.csv", _plain(gaps=[None, 1.5, 2.5, 2.5] * 10, y=["a", "b"] * (ROWS // 2)))
    _, text, _ = _init("t.csv")
    assert "#   gaps  number     1.5 to 2.5; 25.0% missing" in text


def test_a_regression_is_offered_as_a_threshold_that_is_valid(here: Path) -> None:
    _csv(here / "t.csv", _plain(price=[i * 1.5 for i in range(ROWS)]))
    spec, text, _ = _init("t.csv")
    assert spec.task.type == "regression"
    lines = [line for line in text.splitlines() if not line.startswith(("  target:", "  type:"))]
    turned = "\n".join(lines).replace("  # target:", "  target:").replace("  # type: cl", "  type: cl")
    assert parse_spec(turned, "t").task.model_dump()["target"] == {"column": "price", "at_least": 29.25}


def test_a_file_that_is_there_is_not_overwritten(here: Path) -> None:
    _csv(here / "t.csv", _plain(y=["a", "b"] * (ROWS // 2)))
    (here / "t.yaml").write_text("mine")
    with pytest.raises(SpecError, match=r"t\.yaml is there already"):
        _init("t.csv")
    assert (here / "t.yaml").read_text() == "mine"


def test_a_missing_file_an_empty_one_and_one_without_rows_leave_nothing_behind(here: Path) -> None:
    (here / "empty.csv").touch()
    (here / "header.csv").write_text("a,b\n")
    for data, words in (("gone.csv", "no file"), ("empty.csv", "is empty"), ("header.csv", "no rows")):
        with pytest.raises(DataError, match=words):
            _init(data)
    assert not list(here.glob("*.yaml"))


def test_an_unknown_target_is_told_the_nearest_column(here: Path) -> None:
    _csv(here / "t.csv", _plain(bought=["yes", "no"] * (ROWS // 2)))
    with pytest.raises(DataError, match="Did you mean 'bought'"):
        _init("t.csv", "bougth")
    assert not (here / "t.yaml").exists()


def test_a_folder_of_tables_can_not_be_the_folder_of_the_spec(here: Path) -> None:
    _csv(here / "t.csv", _plain(y=["a", "b"] * (ROWS // 2)))
    for data in (".", str(here), str(here.parent)):
        with pytest.raises(DataError, match="holds nothing but its tables"):
            _init(data)
    spec, _, _ = _init("*.csv")
    assert Source.open(spec.data.source).columns == ("age", "y")


def test_a_local_source_is_relative_to_the_spec_only_where_it_lies_below(here: Path) -> None:
    (here / "work" / "data").mkdir(parents=True)
    pq.write_table(pa.table({"a": [1.0, 2.5, 3.5], "y": [1.0, 2.5, 9.5]}), here / "work" / "data" / "t.parquet")
    _csv(here / "o.csv", _plain(y=["a", "b"] * (ROWS // 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here / "work")
        assert "source: data/t.parquet\n" in _init(str(here / "work" / "data" / "t.parquet"))[1]
        assert "source: ../o.csv\n" in _init("../o.csv")[1]
        Path("o.yaml").unlink()
        assert f"source: {here}/o.csv\n" in _init(str(here / "o.csv"))[1]


def test_a_bundled_table_is_kept_in_the_store_that_the_spec_will_use(here: Path) -> None:
    spec, _, _ = _init("bundled:diabetes")
    assert (spec.name, spec.data.source, spec.task.type) == ("diabetes", "bundled:diabetes", "regression")
    assert list(Path(spec.store).glob("sources/diabetes-*.parquet"))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("data/Titanic.csv.gz", "titanic"),
        ("Données_2024 (v2).CSV", "donnees-2024-v2"),
        ("s3://lake/flights/", "flights"),
        ("s3://lake/flights/**/part-[0-9]*.parquet", "part"),
        ("s3://lake/flights/year=*/*.parquet", "year"),
        ("s3://lake/*.parquet", "lake"),
        ("bundled:breast_cancer", "breast-cancer"),
        ("s3://売上/売上.csv", "table"),
        (f"/{'long-' * 20}.csv", "long-long-long-long-long-long-long-long"),
    ],
)
def test_a_spec_is_named_after_its_table(data: str, name: str) -> None:
    assert spec_name(data) == name


def test_much_data_is_trained_on_in_fewer_and_larger_steps() -> None:
    target = FirstTarget(task=TaskSpec(type="classification", target="y"), reason="asked for")
    seen = glimpse({"x": list(range(20)), "y": ["a", "b"] * 10}).summary
    specs = [
        parse_spec(first_text("t", "t.csv", Glimpse(summary=seen, total_rows=n), target), "t")
        for n in (20, 10**6, 10**9)
    ]
    assert [(s.train.epochs, s.train.batch_size) for s in specs] == [(100, 256), (20, 1024), (10, 4096)]
