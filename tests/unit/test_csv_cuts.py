import csv
import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymill import csv_cuts
from raymill.csv_cuts import find_cuts


def _cuts(data: bytes, every: int = 1) -> list[tuple[int, int]]:
    found = find_cuts(io.BytesIO(data), len(data), ",", every)
    return [(cut.byte, cut.records) for cut in found]


def test_a_cut_is_where_a_record_starts_and_knows_the_records_before_it() -> None:
    assert _cuts(b"a,b\n1,2\n3,4\n") == [(4, 1), (8, 2)]


def test_a_newline_within_quotes_is_no_end_of_a_record() -> None:
    assert _cuts(b'a,b\n"x\ny",2\n"""\n""",4\n5,6') == [(4, 1), (12, 2), (22, 3)]


def test_no_cut_is_made_behind_a_quote_that_opens_within_a_cell() -> None:
    assert _cuts(b'a,b\n1,2\n5" pipe,3\n7,8\n9,9\n') == [(4, 1), (8, 2)]


def test_a_byte_order_mark_before_a_quoted_header_is_no_stray_cell() -> None:
    assert _cuts(b'\xef\xbb\xbf"a",b\r\n1,2\r\n') == [(10, 1)]


def test_a_short_end_stays_with_the_piece_before_it() -> None:
    assert _cuts(b"a\n" + b"1\n" * 10, every=8) == [(8, 4), (16, 8)]


cells = st.text(alphabet='ab",\n\r é', max_size=6)


@given(
    rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=30), every=st.integers(1, 40), chunk=st.integers(1, 64)
)
def test_pieces_between_cuts_hold_the_same_rows_as_the_whole(
    rows: list[tuple[str, str]], every: int, chunk: int
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    data = text.getvalue().encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_cuts, "_CHUNK_BYTES", chunk)
        cuts = _cuts(data, every)
    edges = [0, *(byte for byte, _ in cuts), len(data)]
    read = []
    for start, stop in itertools.pairwise(edges):
        assert not cuts or start == 0 or dict(cuts)[start] == len(read)
        read += list(csv.reader(io.StringIO(data[start:stop].decode(), newline="")))
    assert read == [list(row) for row in rows]
