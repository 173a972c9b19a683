from decimal import Decimal

import numpy as np
import pyarrow as pa

from raymill.row_hash import hash_rows, uniform


def _hash(*columns: pa.Array) -> np.ndarray:
    return hash_rows(columns, len(columns[0]))


def test_a_hash_is_the_same_for_ever() -> None:
    table = [pa.array(["a", None, "é"]), pa.array([1.5, None, 2.0]), pa.array([1, None, 3])]
    assert _hash(*table).tolist() == [550328740473731324, 4565086372562646103, 9915875230516215158]


def test_numbers_hash_by_value_and_not_by_type() -> None:
    whole = _hash(pa.array([0, 1, -3], pa.int64()))
    assert _hash(pa.array([-0.0, 1.0, -3.0])).tolist() == whole.tolist()
    assert _hash(pa.array([0, 1, -3], pa.int8())).tolist() == whole.tolist()


def test_missing_cells_hash_alike_and_unlike_any_value() -> None:
    floats = _hash(pa.array([None, float("nan"), 0.0]))
    assert floats[0] == floats[1] != floats[2]
    assert _hash(pa.array([None], pa.string()))[0] == _hash(pa.array([None], pa.int64()))[0] == floats[0]


def test_dictionaries_and_large_strings_hash_as_their_texts() -> None:
    texts = pa.array(["x", "y", None, "x"])
    assert _hash(texts.dictionary_encode()).tolist() == _hash(texts).tolist()
    assert _hash(texts.cast(pa.large_string())).tolist() == _hash(texts).tolist()
    codes = pa.DictionaryArray.from_arrays(pa.array([3, 1, 0, 3]), pa.array([None, "y", "z", "x"]))
    assert _hash(codes).tolist() == _hash(texts).tolist()


def test_a_row_hashes_alike_beside_any_other_rows() -> None:
    column = pa.array(["a", "b", "c", "a"])
    assert _hash(column.slice(2, 1))[0] == _hash(column)[2]


def test_a_row_hashes_alike_in_a_column_of_many_blocks() -> None:
    numbers = pa.array(np.random.default_rng(2).normal(size=50_000))
    flags = pa.array(np.arange(50_000) % 3, mask=np.arange(50_000) % 7 == 0)
    some = slice(40_001, 40_009)
    alone = _hash(numbers[some], flags[some])
    assert _hash(numbers, flags)[some].tolist() == alone.tolist()


def test_the_order_of_columns_matters() -> None:
    a, b = pa.array(["x"]), pa.array(["y"])
    assert _hash(a, b)[0] != _hash(b, a)[0]


def test_integers_beyond_the_exact_floats_stay_apart() -> None:
    assert len(set(_hash(pa.array([2**53, 2**53 + 1, None])).tolist())) == 3


def test_timestamps_hash_by_their_instant() -> None:
    micro = pa.array([1_000_000], pa.int64()).cast(pa.timestamp("us"))
    assert _hash(micro)[0] == _hash(micro.cast(pa.timestamp("s")))[0]


def test_dates_hash_as_timestamps() -> None:
    days = pa.array([19_000, None], pa.int32()).cast(pa.date32())
    assert _hash(days).tolist() == _hash(days.cast(pa.timestamp("us"))).tolist()


def test_decimals_hash_as_the_floats_and_integers_of_their_value_at_any_scale() -> None:
    units = np.random.default_rng(7).integers(-(10**15), 10**15, 10_000)
    units[::3] = units[::3] // 10**7 * 10**7
    for scale in (0, 2, 4, 7, 15):
        decimals = [None, Decimal(0), *(Decimal(unit).scaleb(-scale) for unit in units.tolist())]
        floats = _hash(pa.array([None if d is None else float(d) for d in decimals])).tolist()
        for kind in (pa.decimal128(15, scale), pa.decimal128(35, scale + 10), pa.decimal256(60, scale + 30)):
            assert _hash(pa.array(decimals, kind)).tolist() == floats, kind
    whole = [*(units * 9_000).tolist(), 0, 2**53 + 1, 2**63 - 1, -(2**63) + 1, 10**18, None]
    integers = _hash(pa.array(whole, pa.int64())).tolist()
    for kind in (pa.decimal128(19, 0), pa.decimal128(38, 5)):
        assert _hash(pa.array([None if n is None else Decimal(n) for n in whole], kind)).tolist() == integers


def test_decimals_that_are_one_float_stay_apart() -> None:
    fine = [Decimal("1.00000000000000000001"), Decimal("1.00000000000000000002"), None]
    assert len(set(_hash(pa.array(fine, pa.decimal128(38, 20))).tolist())) == 3
    long = [Decimal(2**63), Decimal(2**63 + 1), Decimal(10**30), Decimal(10**30 + 1)]
    assert len(set(_hash(pa.array(long, pa.decimal128(38, 0))).tolist())) == 4


def test_a_column_of_lists_takes_no_part() -> None:
    numbers, lists = pa.array([1, 2]), pa.array([[1], [2]])
    assert _hash(numbers, lists).tolist() == _hash(numbers).tolist()


def test_uniform_is_even_and_dealt_anew_by_each_seed() -> None:
    hashes = _hash(pa.array(np.arange(100_000)))
    first, second = uniform(hashes, 0), uniform(hashes, 1)
    counts = np.histogram(first, bins=20, range=(0, 1))[0]
    assert abs(counts - 5000).max() < 350
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
