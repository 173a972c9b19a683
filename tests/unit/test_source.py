import dataclasses
import gzip
import io
import os
import pickle
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from raymill.cell_error import CellError
from raymill.cells import is_coded
from raymill.errors import DataError, StoreError
from raymill.piece import in_turn, placed, readable
from raymill.row_hash import hash_rows
from raymill.source import Source
from raymill.store import Store

CSV = "a,b\n1,x\n,y\n3,NA\n"
ROWS = [{"a": "1", "b": "x"}, {"a": None, "b": "y"}, {"a": "3", "b": "NA"}]


def _rows(source: Source) -> list[dict[str, object]]:
    return pa.concat_tables([piece.read() for piece in source.pieces]).to_pylist()


def _fails(uri: Path, match: str) -> None:
    with pytest.raises(DataError, match=match):
        Source.open(str(uri))


@pytest.mark.parametrize("name", ["t.csv", "t.CSV", "t.csv.gz", "t.csv.zip", "t.tsv", "t.tsv.gz"])
def test_every_kind_of_csv_is_read_as_texts_with_nulls_for_empty_cells(tmp_path: Path, name: str) -> None:
    text = CSV.replace(",", "\t") if ".tsv" in name else CSV
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("t.csv", text)
    else:
        path.write_text(text)
    source = Source.open(str(path))
    assert _rows(source) == ROWS
    assert source.columns == ("a", "b")
    assert source.pieces[0].read(["b"]).schema == pa.schema([("b", pa.string())])


def test_byte_order_mark_carriage_returns_and_quoted_newlines_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b'\xef\xbb\xbfa,b\r\n"x\ny","1""2"\r\n"",3')
    assert _rows(Source.open(str(tmp_path / "t.csv"))) == [{"a": "x\ny", "b": '1"2'}, {"a": None, "b": "3"}]


def test_parquet_keeps_its_types_less_encodings_and_the_index_of_pandas(tmp_path: Path) -> None:
    table = pa.table(
        {
            "n": pa.array([1, None], pa.int32()),
            "d": pa.array(["x", "y"]).dictionary_encode(),
            "dotted.name": pa.array(["p", "q"], pa.large_string()),
            "day": pa.array([0, 1], pa.date32()),
            "half": pa.array([0.5, 1], pa.float16()),
            "long": pa.array([10**30, 10**30 + 1], pa.decimal128(38, 0)),
            "__index_level_0__": [7, 8],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    read = Source.open(str(tmp_path)).pieces[0].read()
    assert read.schema.types == [pa.int32(), pa.string(), pa.string(), pa.date32(), pa.float16(), pa.decimal128(38, 0)]
    assert read.column_names == ["n", "d", "dotted.name", "day", "half", "long"]
    assert read["long"].to_pylist() == [10**30, 10**30 + 1]


def test_a_folder_and_a_glob_mean_their_files_in_name_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "deep/c.csv", ".hidden.csv", "_SUCCESS", "_tmp/d.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"x\n{name}\n")

    def read(uri: Path) -> list[object]:
        return [row["x"] for row in _rows(Source.open(str(uri)))]

    assert read(tmp_path) == ["a.csv", "b.csv", "deep/c.csv"]
    assert read(tmp_path / "*.csv") == ["a.csv", "b.csv"]
    assert read(tmp_path / "**/*.csv") == ["a.csv", "b.csv", "deep/c.csv"]
    assert read(tmp_path / "de?p/[a-c].csv") == ["deep/c.csv"]


def test_columns_may_be_in_another_order_and_numbers_of_another_width_in_another_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"b": ["z"], "a": [0.5]}), tmp_path / "2.parquet")
    source = Source.open(str(tmp_path))
    assert len(source.pieces) == 1
    assert _rows(source) == [{"a": 1.0, "b": "x"}, {"a": 2.0, "b": "y"}, {"a": 0.5, "b": "z"}]


@pytest.mark.parametrize("dtype", [pa.int64(), pa.date32(), pa.bool_(), pa.list_(pa.int8()), pa.binary(), pa.string()])
def test_a_column_without_a_cell_in_one_file_has_the_type_of_another(tmp_path: Path, dtype: pa.DataType) -> None:
    for name, column in (("1", pa.nulls(2)), ("2", pa.nulls(2, dtype)), ("3", pa.nulls(2))):
        pq.write_table(pa.table({"a": column, "b": pa.nulls(2)}), tmp_path / f"{name}.parquet")
    source = Source.open(str(tmp_path))
    assert source.schema.types == [dtype, pa.string()]
    assert source.pieces[0].read().num_rows == 6


def test_columns_of_days_and_times_or_of_decimals_too_far_apart_meet_in_one_type(tmp_path: Path) -> None:
    wide, narrow = pa.decimal256(76, 0), pa.decimal256(76, 40)
    pq.write_table(pa.table({"t": pa.array([1], pa.date32()), "d": pa.array([2], wide)}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"t": pa.array([5], pa.timestamp("us")), "d": pa.nulls(1, narrow)}), tmp_path / "2.parquet")
    source = Source.open(str(tmp_path))
    assert source.schema.types == [pa.timestamp("us"), pa.float64()]
    assert source.pieces[0].read()["d"].to_pylist() == [2.0, None]


@pytest.mark.parametrize(
    "numbers",
    [
        pa.array([Decimal("66741.419"), Decimal("1.500"), Decimal("7.000"), None], pa.decimal128(9, 3)),
        pa.array([7, -(2**40), 2**53, None]),
        pa.array([1.1, 0.1, 1e6 + 1 / 3, None], pa.float32()),
    ],
    ids=lambda numbers: str(numbers.type),
)
@pytest.mark.parametrize("other", [pa.int64(), pa.float32(), pa.float64(), pa.decimal128(20, 7)], ids=str)
def test_a_file_with_numbers_of_another_type_changes_the_hash_of_no_row_of_the_others(
    numbers: pa.Array, other: pa.DataType, tmp_path: Path
) -> None:
    table = pa.table({"a": numbers, "b": list("abcd")})
    pq.write_table(table, tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": pa.array(["5"]).cast(other), "b": ["e"]}), tmp_path / "2.parquet")
    (piece,) = Source.open(str(tmp_path)).pieces
    both = piece.read()
    assert hash_rows(both.columns, 5)[:4].tolist() == hash_rows(table.columns, 4).tolist()


def test_names_of_folders_that_would_be_columns_elsewhere_are_known(tmp_path: Path) -> None:
    for year in (2020, 2021):
        (tmp_path / f"year={year}" / "a=1").mkdir(parents=True)
        (tmp_path / f"year={year}" / "a=1" / "t.csv").write_text("a,b\n1,2\n")
    assert Source.open(str(tmp_path)).folder_columns == ("year",)
    assert Source.open(str(tmp_path / "year=2020" / "a=1" / "t.csv")).folder_columns == ()


def test_a_parquet_column_without_a_name_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "": [2]}), tmp_path / "t.parquet")
    _fails(tmp_path, "t.parquet: column 2 has no name")


def test_a_big_csv_is_cut_at_records_and_small_files_are_read_together(tmp_path: Path) -> None:
    big = "".join(f'{i},"line {i}\nmore, ""quoted"""\n' for i in range(200))
    (tmp_path / "a.csv").write_text("n,text\n" + big)
    for name in "bcde":
        (tmp_path / f"{name}.csv").write_text(f"text,n\n{name},0\n")
    source = dataclasses.replace(Source.open(str(tmp_path)), csv_piece_bytes=1000)
    assert _rows(source) == _rows(Source.open(str(tmp_path)))
    assert len(source.pieces) > 4
    assert [piece.name for piece in source.pieces][:2] == ["00000-a-0", "00001-a-1"]
    assert [part.path for part in source.pieces[-1].parts][-4:] == ["b.csv", "c.csv", "d.csv", "e.csv"]


def test_parquet_is_cut_by_row_groups(tmp_path: Path) -> None:
    table = pa.table({"n": np.random.default_rng(0).normal(size=5000)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=500, use_dictionary=False)
    source = dataclasses.replace(Source.open(str(tmp_path)), parquet_piece_bytes=9000)
    assert [(p.parts[0].start, p.parts[0].stop) for p in source.pieces] == [(i, i + 2) for i in range(0, 10, 2)]
    assert [p.parts[0].first_record for p in source.pieces] == [0, 1000, 2000, 3000, 4000]
    assert pa.concat_tables([p.read() for p in source.pieces]).equals(table)


def test_a_row_group_that_is_too_large_is_cut_by_its_rows(tmp_path: Path) -> None:
    rows = 100_000
    table = pa.table({"n": np.arange(rows), "text": [f"{i % 7}" for i in range(rows)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=90_000)
    source = dataclasses.replace(Source.open(str(tmp_path)), parquet_piece_bytes=600_000)
    parts = [part for piece in source.pieces for part in piece.parts]
    assert [part.rows for part in parts] == [(0, 22_500), (22_500, 45_000), (45_000, 67_500), (67_500, 90_000), None]
    assert [part.first_row for part in parts] == [0, 22_500, 45_000, 67_500, 90_000]
    assert pa.concat_tables([piece.read() for piece in source.pieces]).equals(table)
    assert source.pieces[1].read(["text"])["text"][0].as_py() == f"{22_500 % 7}"
    with pytest.raises(CellError) as caught, source.pieces[2].naming():
        raise CellError("bad:", 5, "", "")
    assert (caught.value.file, caught.value.row) == ("t.parquet", 45_005)


@pytest.fixture
def cut(tmp_path: Path) -> Source:
    """A row group of eight pieces, and one of a single piece."""
    table = pa.table({"n": np.arange(100_000), "text": [f"{i % 7}" for i in range(100_000)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=90_000)
    return dataclasses.replace(Source.open(str(tmp_path)), parquet_piece_bytes=310_000)


def test_pieces_of_one_row_group_make_near_equal_runs_of_as_many_as_are_wanted_or_more(cut: Source) -> None:
    for wanted, sizes in ((1, [8, 1]), (2, [4, 4, 1]), (3, [2, 3, 3, 1]), (5, [1] * 9), (50, [1] * 9)):
        runs = cut.runs(wanted)
        assert [len(run) for run in runs] == sizes
        assert tuple(piece for run in runs for piece in run) == cut.pieces


def test_pieces_in_turn_hold_what_they_hold_alone_also_where_one_is_passed_over(cut: Source) -> None:
    (run, _) = cut.runs(1)
    with in_turn(run) as pieces:
        for index in (0, 1, 4, 6):
            assert pieces[index].read().equals(run[index].read())
            assert pieces[index].read(["n"]).equals(run[index].read(["n"]))
            with pytest.raises(CellError) as caught, pieces[index].naming():
                raise CellError("bad:", 5, "", "")
            assert caught.value.row == run[index].parts[0].first_row + 5


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"row_group_size": 7_000}, {"store_schema": False}])
def test_texts_that_repeat_are_read_as_the_codes_that_they_would_be_given(
    options: dict[str, Any], tmp_path: Path
) -> None:
    words = pa.array(["x", "y", None]).take(pa.array(np.random.default_rng(1).integers(0, 3, 50_000)))
    codes = words.dictionary_encode()
    ids = pa.array([f"id {i}" for i in range(50_000)])
    columns = {"a.b": words, "nested": pa.array([["x"], None] * 25_000), "ids": ids, "bytes": words.cast(pa.binary())}
    columns |= {"late": pa.concat_arrays([pa.array(["same"] * 25_000), ids[25_000:]]), "none": pa.nulls(50_000)}
    columns |= {"codes": pa.DictionaryArray.from_arrays(codes.indices.cast(pa.int8()), codes.dictionary)}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", **options)
    for piece_bytes in (40 << 20, 300_000):
        source = dataclasses.replace(Source.open(str(tmp_path)), parquet_piece_bytes=piece_bytes)
        for run in source.runs(2):
            with in_turn(run) as pieces:
                for alone, piece in zip(run, pieces, strict=True):
                    plain, found = alone.read(), piece.read_coded()
                    assert found.equals(alone.read_coded()) and found.cast(source.schema).equals(plain)
                    coded = [field.name for field in found.schema if is_coded(field.type)]
                    assert {"a.b", "none", "codes"} <= set(coded) <= {"a.b", "none", "codes", "late"}
                    for name in coded:
                        assert found[name].combine_chunks().equals(plain[name].combine_chunks().dictionary_encode())


def test_damage_that_pieces_in_turn_meet_names_the_file(cut: Source, tmp_path: Path) -> None:
    whole = (tmp_path / "t.parquet").read_bytes()
    (run, _) = cut.runs(1)
    (tmp_path / "t.parquet").write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[len(whole) // 2 + 4 :])
    with pytest.raises(DataError, match=r"t\.parquet can't be read"), in_turn(run) as pieces:
        for piece in pieces:
            piece.read()


def test_a_table_of_few_pieces_is_cut_into_smaller_ones(tmp_path: Path) -> None:
    table = pa.table({"n": np.arange(2_000_000)})
    pq.write_table(table, tmp_path / "t.parquet")
    source = Source.open(str(tmp_path))
    assert source.parquet_piece_bytes > source.heads[0].group_bytes[0]
    assert [piece.read().num_rows for piece in source.pieces] == [349_525, 349_525, 349_526, 951_424]


def test_a_row_group_counts_by_what_it_takes_in_memory(tmp_path: Path) -> None:
    table = pa.table({"text": ["the same text"] * 100_000})
    pq.write_table(table, tmp_path / "t.parquet")
    source = Source.open(str(tmp_path))
    assert source.heads[0].group_bytes[0] >= 1_600_000 > 10 * source.files[0].size_bytes


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_row_of_a_table_is_placed_in_its_file(tmp_path: Path, suffix: str) -> None:
    for name, rows in (("a", 3_000), ("b", 10), ("c", 1), ("d", 4)):
        table = pa.table({"n": [f"{name}{i}" for i in range(rows)]})
        if suffix == "csv":
            pacsv.write_csv(table, tmp_path / f"{name}.csv")
        else:
            pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=700)
    source = dataclasses.replace(Source.open(str(tmp_path)), csv_piece_bytes=9_000, parquet_piece_bytes=9_000)
    tables = [piece.read() for piece in source.pieces]
    cells = pa.concat_tables(tables)["n"].to_pylist()
    assert len(tables) > 2 and len(source.pieces[-1].parts) > 1
    for row in (0, 1, 1_700, 2_999, 3_000, 3_009, 3_010, 3_011, 3_014):
        with pytest.raises(CellError) as caught, placed(source.pieces, [table.num_rows for table in tables]):
            raise CellError("bad:", row, "", "")
        assert caught.value.file == f"{cells[row][0]}.{suffix}"
        assert caught.value.row == int(cells[row][1:])


def test_a_piece_travels_by_pickle(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    piece = Source.open(str(tmp_path)).pieces[0]
    assert pickle.loads(pickle.dumps(piece)).read().to_pylist() == ROWS


@pytest.mark.parametrize("uri", ["in", "in/*.csv", "in/a.csv"])
def test_a_file_that_is_another_by_now_or_gone_is_named_and_a_new_one_is_not(tmp_path: Path, uri: str) -> None:
    file, uri = tmp_path / "in" / "a.csv", str(tmp_path / uri)
    file.parent.mkdir()
    file.write_text("x,y\n1,2\n")
    source = Source.open(uri)
    (tmp_path / "in" / "b.csv").write_text("x,y\n1,2\n")
    assert source.changed(uri) == []
    file.write_text("x,y\n1,3\n")
    assert source.changed(uri) == ["a.csv"]
    file.unlink()
    assert source.changed(uri) == ["a.csv"]


def test_the_fingerprint_changes_with_a_file_and_not_with_the_folder(tmp_path: Path) -> None:
    def put(folder: str, text: str, changed_s: int) -> str:
        path = tmp_path / folder / "t.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        os.utime(path, (changed_s, changed_s))
        return Source.open(str(path.parent)).fingerprint

    first = put("one", CSV, 1000)
    assert put("two", CSV, 1000) == first
    assert put("two", CSV, 1001) != first
    assert put("two", CSV + "4,z\n", 1000) != first


@pytest.mark.parametrize("path", ["absent.csv", "absent/", "absent/*.csv", "*.parquet"])
def test_nothing_there_is_an_error(tmp_path: Path, path: str) -> None:
    _fails(tmp_path / path, "There is no file at")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"^[^ ]*/t\.csv is empty"),
        ("a,b\n", "has columns but no rows"),
        ("a,b", "t.csv has no rows"),
        ("\n\n", "t.csv has no rows"),
        ("a;b;c\n1;2;3\n", "one column, and ';' in its name: a;b;c"),
        ("a,b,a\n1,2,3\n", "more than one column named 'a'"),
        (",b\n1,2\n", "column 1 has no name"),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "no header: its first row is 5.1, 3.5, setosa"),
        ("39,State-gov,77516,13\n1,2,3,4\n", "no header"),
        ("a,b\n1,2\n3,4,5\n", "Expected 2 columns, got 3: 3,4,5"),
        ("a,b\n1,\xff\n", "t.csv can't be read: .*line 2.*\nWrite it as UTF-8"),
        ("\xe9,b\n1,2\n", "t.csv can't be read: .*\nWrite it as UTF-8"),
        ("\xff\xfea\0,\0b\0\n\0001\0,\0002\0\n\0", "t.csv can't be read: it is UTF-16.\nWrite it as UTF-8"),
        ("\xfe\xff\0a\0,\0b\0\n\0001\0,\0002\0\n", "t.csv can't be read: it is UTF-16"),
    ],
)
def test_a_csv_without_a_proper_header_or_rows_is_an_error_that_names_it(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=match):
        Source.open(str(tmp_path / "t.csv")).pieces[0].read()


@pytest.mark.parametrize("header", ["0,1,2", "label,0,1,2", "year,2012,2013"])
def test_whole_numbers_that_grow_are_a_header(tmp_path: Path, header: str) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n{','.join('5' * len(header.split(',')))}\n")
    assert Source.open(str(tmp_path)).columns == tuple(header.split(","))


def test_a_ragged_row_is_named_by_its_line_in_the_whole_file(tmp_path: Path) -> None:
    rows = 400_000
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * rows + "1,2,3\n")
    source = dataclasses.replace(Source.open(str(tmp_path)), csv_piece_bytes=1 << 20)
    assert [piece.label for piece in source.pieces] == ["t.csv", "t.csv after its first 262144 lines"]
    assert source.pieces[0].read().num_rows == 262_143
    with pytest.raises(DataError, match=rf"t.csv can't be read: .*line {rows + 2}: Expected 2 columns, got 3"):
        source.pieces[1].read()


def test_files_that_differ_are_errors_naming_file_and_column(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("a,c\n1,2\n")
    _fails(tmp_path, "2.csv lacks the column 'b', unlike 1.csv")
    (tmp_path / "2.csv").write_text("a,b,c\n1,2,3\n")
    _fails(tmp_path, "2.csv has a column 'c', unlike 1.csv")
    (tmp_path / "2.csv").unlink()
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "2.parquet")
    _fails(tmp_path, "both CSV and Parquet")
    (tmp_path / "1.csv").unlink()
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "3.parquet")
    _fails(tmp_path, "3.parquet has other types.*b.*int64")


def test_what_is_no_table_is_an_error_naming_it(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("{}")
    _fails(tmp_path / "t.json", r"^[^ ]*/t\.json is neither CSV nor Parquet")
    (tmp_path / "t.parquet").write_text("not parquet")
    _fails(tmp_path / "t.parquet", "t.parquet can't be read")
    (tmp_path / "t.csv.zip").write_text("not a zip")
    _fails(tmp_path / "t.csv.zip", "t.csv.zip can't be read: it is no readable zip file")
    with zipfile.ZipFile(tmp_path / "two.csv.zip", "w") as archive:
        archive.writestr("1.csv", CSV)
        archive.writestr("2.csv", CSV)
    _fails(tmp_path / "two.csv.zip", "holds 2 files")


def _damaged() -> dict[str, bytes]:
    """Files whose content is wrong, in ways for which Arrow raises an OSError or zipfile an error of its own."""
    random = np.random.default_rng(0)
    text = b"a,b\n" + "".join(f"{number},x\n" for number in random.integers(0, 10**9, 50_000)).encode()
    packed, sink, archive = gzip.compress(text), pa.BufferOutputStream(), io.BytesIO()
    pq.write_table(pa.table({"a": random.normal(size=5_000)}), sink)
    whole: bytes = sink.getvalue().to_pybytes()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("t.csv", text)
    holed, locked = bytearray(archive.getvalue()), bytearray(archive.getvalue())
    holed[9_000:9_100] = bytes(100)
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1
    return {
        "no.csv.gz": b"hello, hello",
        "short.csv.gz": packed[: len(packed) // 2],
        "short.csv.zip": bytes(holed[:9_000]),
        "holed.csv.zip": bytes(holed),
        "locked.csv.zip": bytes(locked),
        "footer.parquet": whole[:-300] + b"\xff" * 200 + whole[-100:],
        "page.parquet": whole[:4] + b"\xff" * 40 + whole[44:],
        "short.parquet": whole[:1_000],
    }


@pytest.mark.parametrize("name", list(_damaged()))
def test_a_damaged_file_is_the_fault_of_the_data_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(_damaged()[name])
    with pytest.raises(DataError) as caught:
        [piece.read() for piece in Source.open(str(tmp_path / name)).pieces]
    assert caught.value.what.startswith(f"{tmp_path}/{name} can't be read: ")
    assert caught.value.what.isprintable() and not caught.value.what.endswith("..")


def test_a_file_that_is_gone_is_the_fault_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    piece = Source.open(str(tmp_path)).pieces[0]
    (tmp_path / "t.csv").unlink()
    with pytest.raises(StoreError, match="Could not read"):
        piece.read()


def test_a_bucket_that_fails_while_a_file_is_read_is_the_fault_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    store = Store(str(tmp_path))
    with pytest.raises(StoreError), readable(store, "t.csv"):
        raise OSError("When reading object: AWS Error NETWORK_CONNECTION during GetObject operation")
    with pytest.raises(DataError), readable(store, "t.csv"):
        raise OSError("Truncated compressed stream.")


def test_a_file_of_a_folder_is_named_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.csv").write_text("")
    _fails(tmp_path, rf"^b\.csv in {tmp_path} is empty")


@pytest.mark.parametrize(
    ("uri", "folder", "overlaps"),
    [
        ("in", "in", True),
        ("in", "in/out", True),
        ("in", ".", True),
        ("in", "out", False),
        ("in/t.csv", "in", True),
        ("in/t.csv", "in/out", False),
        ("in/*.csv", "in", True),
        ("in/*.csv", "in/out", False),
        ("in/**", "in/out", True),
    ],
)
def test_a_folder_overlaps_a_source_where_a_file_could_be_taken_for_one_of_the_other(
    tmp_path: Path, uri: str, folder: str, overlaps: bool
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "t.csv").write_text(CSV)
    source = Source.open(str(tmp_path / uri))
    assert source.overlaps(Store(str(tmp_path / folder))) is overlaps
