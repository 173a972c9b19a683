import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raymill.cell_error import CellError
from raymill.row_hash import hash_rows
from raymill.spec import DataSpec
from raymill.split import Census, Split
from raymill.time_cuts import TimeCounts

RNG = np.random.default_rng(3)
ROWS = 20_000
TABLE = pa.table(
    {
        "number": RNG.normal(size=ROWS),
        "city": RNG.choice(["Oslo", "Rome", "Lima"], ROWS),
        "group": RNG.integers(0, 400, ROWS),
        "label": RNG.choice(["no", "yes"], ROWS, p=[0.95, 0.05]),
    }
)


def _split(key: tuple[str, ...] = (), **split: object) -> Split:
    return Split.of(DataSpec.model_validate({"source": "x", "key": key, "split": split}))


def _hashes(table: pa.Table) -> np.ndarray:
    return hash_rows(table.columns, table.num_rows)


def _dealt(split: Split, table: pa.Table) -> np.ndarray:
    return split.assign(table, _hashes(table))


def _identities(split: Split, table: pa.Table) -> np.ndarray:
    return split.identities(table, _hashes(table))


def test_shares_are_near_those_asked_for_and_near_in_each_class() -> None:
    splits = _dealt(_split(train=0.7, validation=0.2, test=0.1), TABLE)
    yes = pc.equal(TABLE["label"], "yes").to_numpy()
    for rows in (splits, splits[yes]):
        assert np.allclose(np.bincount(rows) / len(rows), [0.7, 0.2, 0.1], atol=0.04)


def test_adding_removing_and_permuting_rows_moves_no_other_row() -> None:
    split = _split()
    order = RNG.permutation(ROWS)
    whole = _dealt(split, TABLE)
    assert (_dealt(split, TABLE.take(order)) == whole[order]).all()
    assert (_dealt(split, TABLE.slice(500, 77)) == whole[500:577]).all()


def test_equal_rows_are_in_one_split() -> None:
    twice = pa.concat_tables([TABLE, TABLE])
    splits = _dealt(_split(), twice)
    assert (splits[:ROWS] == splits[ROWS:]).all()


def test_column_names_play_no_part() -> None:
    renamed = TABLE.rename_columns(["a", "b", "c", "d"])
    assert (_dealt(_split(), renamed) == _dealt(_split(), TABLE)).all()


def test_another_seed_deals_anew() -> None:
    same = _dealt(_split(seed=1), TABLE) == _dealt(_split(seed=2), TABLE)
    assert 0.6 < same.mean() < 0.72


def test_rows_of_one_key_are_together_whatever_else_they_hold() -> None:
    splits = _dealt(_split(key=("group", "city")), TABLE)
    frame = TABLE.to_pandas().assign(split=splits)
    assert (frame.groupby(["group", "city"])["split"].nunique() == 1).all()


def test_keys_that_only_their_digits_tell_apart_are_dealt_apart() -> None:
    ids = pa.array([10**30 + i for i in range(1_000)], pa.decimal128(38, 0))
    split = _split(key=("id",))
    assert len(np.unique(_identities(split, pa.table({"id": ids})))) == 1_000
    short = pa.table({"id": [7.0, 2.5]})
    exact = pa.table({"id": short["id"].cast(pa.decimal128(38, 3))})
    assert _identities(split, exact).tolist() == _identities(split, short).tolist()


def test_a_key_is_the_same_in_whatever_type_or_unit_it_is_written() -> None:
    split = _split(by="group", column="at")

    def found(column: pa.Array) -> list[int]:
        return _identities(split, pa.table({"at": column})).tolist()

    hours = pa.array(np.arange(0, 1_000_000, 7) * 3_600, pa.timestamp("s"))
    for other in (*map(pa.timestamp, ("ms", "us", "ns")), pa.timestamp("us", "UTC"), pa.timestamp("ms", "Asia/Tokyo")):
        assert found(hours.cast(other)) == found(hours)
    days = pa.array(np.arange(1_000, dtype=np.int32)).cast(pa.date32())
    assert found(days) == found(days.cast(pa.timestamp("ns"))) == found(days.cast(pa.string()))
    floats = pa.array([1.1, 7.0, None], pa.float32())
    assert found(floats) == found(floats.cast(pa.float64()))


def test_a_key_of_bytes_that_are_no_text_is_refused_with_its_row() -> None:
    split = _split(key=("id",))
    with pytest.raises(CellError, match=r"'id' says which rows stay together, but row 1 .* holds b'.xff'"):
        _identities(split, pa.table({"id": [b"a", b"\xff"]}))
    texts, numbers = pa.table({"id": ["a", "b"]}), pa.table({"id": [b"a", b"b"]})
    assert _identities(split, texts).tolist() == _identities(split, numbers).tolist()


def test_groups_are_disjoint_and_the_same_as_texts_or_numbers() -> None:
    split = _split(by="group", column="group")
    splits = _dealt(split, TABLE)
    assert (TABLE.to_pandas().assign(split=splits).groupby("group")["split"].nunique() == 1).all()
    as_text = TABLE.set_column(2, "group", TABLE["group"].cast(pa.float64()).cast(pa.string()))
    assert (_dealt(split, as_text) == splits).all()


def test_a_split_by_time_puts_later_rows_in_later_splits() -> None:
    data = DataSpec.model_validate({"source": "x", "split": {"by": "time", "column": "number"}})
    cuts = TimeCounts.of(TABLE["number"], "number", np.ones(ROWS, bool)).cut(0.8, 0.1, "number")
    splits = _dealt(Split.of(data, cuts), TABLE)
    times = TABLE["number"].to_numpy()
    assert times[splits == 0].max() < times[splits == 1].min()
    assert times[splits == 1].max() < times[splits == 2].min()
    assert np.allclose(np.bincount(splits) / ROWS, [0.8, 0.1, 0.1], atol=0.001)


def test_the_fingerprint_is_of_rows_and_splits_in_any_order_and_pieces() -> None:
    splits = _dealt(_split(), TABLE)
    hashes = _hashes(TABLE)
    whole = Census.of(hashes, splits)
    order = RNG.permutation(ROWS)
    shuffled, dealt = hashes[order], splits[order]
    merged = Census.of(shuffled[:99], dealt[:99]).merge(Census.of(shuffled[99:], dealt[99:]))
    assert merged.fingerprint == whole.fingerprint
    moved = splits.copy()
    moved[[np.argmax(splits == 0), np.argmax(splits == 1)]] = 1, 0
    assert Census.of(hashes, moved).rows == whole.rows
    assert Census.of(hashes, moved).fingerprint != whole.fingerprint
