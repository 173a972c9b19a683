import numpy as np
import pyarrow as pa
import pytest

from raymill.errors import DataError
from raymill.time_cuts import TimeCounts, TimeCuts, ends_later


def _counts(values: list[object]) -> TimeCounts:
    return _counts_of(pa.array(values))


def _counts_of(cells: pa.Array) -> TimeCounts:
    return TimeCounts.of(cells, "when", np.ones(len(cells), bool))


def test_cuts_come_nearest_to_the_shares_and_put_equal_times_together() -> None:
    cuts = _counts([1.0] * 5 + [2.0] * 3 + [3.0] + [4.0]).cut(0.8, 0.1, "when")
    assert (cuts.train_end, cuts.validation_end) == (2.0, 3.0)
    assert cuts.assign(pa.array([1.0, 2.0, 2.5, 3.0, 9.0]), "when").tolist() == [0, 0, 1, 1, 2]


def test_no_split_is_empty_where_three_times_exist() -> None:
    cuts = _counts([1.0, 2.0] + [3.0] * 98).cut(0.8, 0.1, "when")
    assert cuts.assign(pa.array([1.0, 2.0, 3.0]), "when").tolist() == [0, 1, 2]


def test_iso_texts_with_a_zone_and_timestamps_are_the_same_times() -> None:
    texts = ["2024-01-01T00:00:00Z", "2024-01-02T01:00:00+01:00", "2024-01-03"]
    native = pa.array(["2024-01-01", "2024-01-02", "2024-01-03"]).cast(pa.timestamp("us"))
    told = _counts(texts).cut(0.4, 0.3, "when").to_json()
    assert told == _counts_of(native).cut(0.4, 0.3, "when").to_json()
    assert told == {
        "clock": "timestamp",
        "train_end": "2024-01-01T00:00:00",
        "validation_end": "2024-01-02T00:00:00",
    }


def test_times_after_the_year_9999_are_told() -> None:
    far = pa.array([2, 3, 300_000_000_000], pa.timestamp("s"))
    told = _counts_of(far).cut(0.4, 0.3, "when").to_json()
    assert (told["train_end"], told["validation_end"]) == ("1970-01-01T00:00:02", "1970-01-01T00:00:03")
    later = pa.array([300_000_000_000, 300_000_000_001, 300_000_000_002], pa.timestamp("s"))
    assert _counts_of(later).cut(0.4, 0.3, "when").to_json()["train_end"] == "11476-08-15T05:20:00"


def test_numbers_in_texts_serve_as_times() -> None:
    assert _counts(["10", "9", "11.5"]).cut(0.4, 0.3, "when").train_end == 9.0


def test_counts_merge_to_the_counts_of_the_whole() -> None:
    values = np.random.default_rng(0).integers(0, 50, 1000).astype(float)
    whole = _counts(values.tolist())
    merged = _counts(values[:300].tolist()).merge(_counts(values[300:].tolist()), "when")
    assert merged.times.tolist() == whole.times.tolist() and merged.counts.tolist() == whole.counts.tolist()


def test_more_times_than_are_kept_move_the_cut_by_a_hair() -> None:
    half = 200_000
    merged = _counts(np.arange(half).tolist()).merge(_counts(np.arange(half, 2 * half).tolist()), "when")
    assert merged.counts.sum() == 2 * half and len(merged.times) <= 1 << 18
    assert abs(merged.cut(0.8, 0.1, "when").train_end - 320_000) < 10


def test_missing_times_are_counted_in_the_error() -> None:
    with pytest.raises(DataError, match="2 rows have no time in column 'when'"):
        _counts([1.0, None, 2.0, 3.0, None]).cut(0.8, 0.1, "when")


def test_rows_that_do_not_count_are_no_times_but_keep_their_place() -> None:
    cells = pa.array(["1", "2", None, "3"])
    counted = np.array([True, False, False, True])
    counts = TimeCounts.of(cells, "when", counted)
    assert (counts.times.tolist(), counts.missing) == ([1.0, 3.0], 0)
    with pytest.raises(DataError, match=r"row 3 .* holds 'soon'"):
        TimeCounts.of(pa.array(["1", "2", None, "soon"]), "when", counted)


def test_too_few_times_and_what_is_no_time_are_errors() -> None:
    with pytest.raises(DataError, match="2 distinct times"):
        _counts([1.0, 2.0]).cut(0.8, 0.1, "when")
    with pytest.raises(DataError, match=r"row 1 .the first is 0. holds 'soon'"):
        _counts(["2024-01-01", "soon"])
    with pytest.raises(DataError, match="numbers in another"):
        _counts(["2024-01-01"]).merge(_counts(["3"]), "when")


def test_cuts_are_known_to_end_later_than_others_by_time_not_by_text() -> None:
    early, late = (TimeCuts(clock="timestamp", train_end=0, validation_end=end).to_json() for end in (1e6, 1_500_000))
    assert ends_later(late, early) and not ends_later(early, late) and not ends_later(early, early)
    small, large = (TimeCuts(clock="number", train_end=0, validation_end=end).to_json() for end in (9.0, 10.0))
    assert ends_later(large, small) and not ends_later(small, large)
    assert ends_later(small, early)
