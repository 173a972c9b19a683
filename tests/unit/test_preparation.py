import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymill.errors import DataError
from raymill.piece import Piece
from raymill.preparation import Recipe, Scan, count_times, identities, scan, write, write_once
from raymill.profile import profile
from raymill.row_hash import hash_rows
from raymill.schema import infer_schema
from raymill.source import Source
from raymill.spec import DataSpec, TaskSpec
from raymill.split import Split
from raymill.store import Store
from raymill.target import fit_task
from raymill.transform import Transform

ROWS = 3_000
LATE = TaskSpec.model_validate({"type": "classification", "target": {"column": "delay", "at_least": 30}})
DELAY = TaskSpec.model_validate({"type": "regression", "target": "delay"})


@pytest.fixture
def piece(tmp_path: Path) -> Piece:
    rng = np.random.default_rng(1)
    delay = rng.normal(20, 20, ROWS)
    delay[::10] = np.nan
    table = pa.table(
        {
            "distance": rng.normal(500, 100, ROWS),
            "carrier": rng.choice(["AA", "UA", "DL"], ROWS),
            "day": np.arange(ROWS) // 30,
            "delay": pa.array(delay, from_pandas=True),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    return Source.open(str(tmp_path / "t.parquet")).pieces[0]


def _split(**split: object) -> Split:
    return Split.of(DataSpec.model_validate({"source": "x", "split": split}))


def _recipe(seen: Scan, task: TaskSpec, split: Split) -> Recipe:
    schema = infer_schema(seen.summary, {}, (), "delay")
    transform = Transform.fit(schema, seen.summary)
    return Recipe(task=fit_task(task, seen.summary), split=split, schema=schema, transform=transform)


def test_only_rows_with_a_target_are_dealt_and_only_train_rows_counted(piece: Piece) -> None:
    seen = scan(piece, LATE, _split())
    assert seen.summary.rows == ROWS and sum(seen.census.rows) == ROWS * 9 // 10
    assert seen.summary.train_rows == seen.census.rows[0]


def test_times_are_counted_of_rows_with_a_target(piece: Piece) -> None:
    assert count_times(piece, DELAY, "day").counts.tolist() == [27] * (ROWS // 30)


def test_shards_hold_every_row_with_a_target_once_and_the_test_rows_raw(piece: Piece, tmp_path: Path) -> None:
    split = _split()
    seen = scan(piece, LATE, split)
    store = Store(str(tmp_path / "out"))
    written = write(piece, _recipe(seen, LATE, split), store)
    rows = tuple(written.shards[name].rows for name in ("train", "validation", "test"))
    assert rows == seen.census.rows
    raw = store.read_table(written.shards["raw_test"].path)
    assert raw.schema == piece.read().schema
    late = (raw["delay"].to_numpy() >= 30).astype(int)
    prepared = store.read_table(written.shards["test"].path)
    assert prepared["__target__"].to_pylist() == late.tolist()
    assert prepared["__target__"].type == pa.int32()
    assert written.classes["test"] == np.bincount(late).tolist()


def test_what_was_written_has_the_census_of_what_was_scanned_unless_a_cell_changed(
    piece: Piece, tmp_path: Path
) -> None:
    split = _split(by="group", column="day")
    seen = scan(piece, LATE, split)
    recipe, store = _recipe(seen, LATE, split), Store(str(tmp_path / "out"))
    assert write(piece, recipe, store).census == seen.census
    table = piece.read()
    distance = table["distance"].to_numpy().copy()
    distance[7] += 1
    pq.write_table(table.set_column(0, "distance", pa.array(distance)), tmp_path / "t.parquet")
    changed = write(piece, recipe, store).census
    assert changed.rows == seen.census.rows and changed != seen.census


def test_rows_of_each_class_are_counted_by_split_where_labels_are_classes(piece: Piece) -> None:
    carrier = TaskSpec.model_validate({"type": "classification", "target": "carrier"})
    seen = scan(piece, carrier, _split())
    assert seen.classes.rows is not None and set(seen.classes.rows) == {"AA", "UA", "DL"}
    assert tuple(np.sum(list(seen.classes.rows.values()), axis=0)) == seen.census.rows
    assert scan(piece, LATE, _split()).classes.rows == {}


def test_identities_are_those_of_groups_or_rows_and_at_most_a_thousand(piece: Piece) -> None:
    assert len(identities(piece, DELAY, _split(by="group", column="day"))) == ROWS // 30
    assert len(identities(piece, DELAY, _split())) == 1_000


def test_statistics_and_targets_of_a_regression_are_standardised_on_train_rows(piece: Piece, tmp_path: Path) -> None:
    split = _split()
    store = Store(str(tmp_path / "out"))
    written = write(piece, _recipe(scan(piece, DELAY, split), DELAY, split), store)
    train = store.read_table(written.shards["train"].path)["__target__"].to_numpy()
    assert train.dtype == np.float32
    assert abs(train.mean()) < 1e-4 and abs(train.std() - 1) < 1e-3
    assert written.classes["train"] == []


def test_what_validation_and_test_rows_hold_changes_nothing_that_is_fitted(piece: Piece, tmp_path: Path) -> None:
    split = _split(by="group", column="day")
    table = piece.read()
    held_out = split.assign(table, hash_rows(table.columns, table.num_rows)) > 0
    wild = pa.array(np.where(held_out, 1e9, table["distance"].to_numpy()))
    pq.write_table(table.set_column(0, "distance", wild), tmp_path / "wild.parquet")
    other = Source.open(str(tmp_path / "wild.parquet")).pieces[0]
    first, second = (_recipe(scan(p, LATE, split), LATE, split) for p in (piece, other))
    assert first.transform == second.transform


def test_an_error_in_a_cell_names_the_file_and_its_row_there(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("x,delay\n1,3\n2,4\n")
    (tmp_path / "2.csv").write_text("x,delay\n1,3\n2,late\n")
    piece = Source.open(str(tmp_path)).pieces[0]
    with pytest.raises(DataError, match=r"'delay'.*row 1 of 2.csv \(the first is 0\) holds 'late'"):
        scan(piece, DELAY, _split())


def test_an_error_of_a_whole_piece_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,delay\n1,3\n")
    with pytest.raises(DataError, match=r"^In t\.csv: no"), Source.open(str(tmp_path)).pieces[0].naming():
        raise DataError("no", "yes")


def test_scans_of_pieces_count_the_rows_of_each(piece: Piece) -> None:
    seen = scan(piece, LATE, _split())
    assert seen.merge(seen).piece_rows == (ROWS, ROWS)


def test_the_profile_tells_kinds_shares_and_what_is_left_out(piece: Piece) -> None:
    seen = scan(piece, LATE, _split())
    recipe = _recipe(seen, LATE, _split())
    told = json.loads(json.dumps(profile(seen.summary, recipe.schema), allow_nan=False))
    columns = told["columns"]
    assert told["rows"] == ROWS
    assert columns["distance"]["kind"] == "number" and 450 < columns["distance"]["quantiles"]["0.5"] < 550
    assert set(columns["carrier"]["top"]) == {"AA", "UA", "DL"} and columns["carrier"]["missing_share"] == 0
    assert columns["delay"]["feature"] is False


def test_times_of_any_year_are_prepared_and_told(tmp_path: Path) -> None:
    seconds = np.arange(ROWS) * 10**8
    table = pa.table({"when": pa.array(seconds).cast(pa.timestamp("s")), "delay": np.arange(ROWS, dtype=float)})
    pq.write_table(table, tmp_path / "t.parquet")
    piece = Source.open(str(tmp_path / "t.parquet")).pieces[0]
    split = _split()
    seen = scan(piece, DELAY, split)
    recipe = _recipe(seen, DELAY, split)
    assert recipe.schema.kinds == {"when": "timestamp"}
    assert profile(seen.summary, recipe.schema)["columns"]["when"]["max"] > "11000"
    write(piece, recipe, Store(str(tmp_path / "out")))


def test_a_piece_is_written_once_by_one_recipe_and_again_by_another(piece: Piece, tmp_path: Path) -> None:
    split = _split()
    recipe, store = _recipe(scan(piece, LATE, split), LATE, split), Store(str(tmp_path / "out"))
    first = write_once(piece, recipe, store)
    changed = {file.path: file.changed_ns for file in store.files(recursive=True)}
    assert write_once(piece, recipe, store) == first
    assert {file.path: file.changed_ns for file in store.files(recursive=True)} == changed
    seeded = _split(seed=1)
    other = write_once(piece, _recipe(scan(piece, LATE, seeded), LATE, seeded), store)
    assert other.census != first.census
