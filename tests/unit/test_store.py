"""The store: a write is whole or absent, a listing shows what is whole, an error names the path."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymill.errors import SpecError, StoreError
from raymill.store import Store, decode_table, encode_table

TABLE = pa.table({"a": [1, 2, None], "b": ["x", "y", "z"]})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_bytes_json_and_tables_come_back(store: Store) -> None:
    store.write_bytes("a/b.bin", b"\x00\xff")
    store.write_json("a/c.json", {"x": [1, None, "é"]})
    size_bytes = store.write_table("a/d.parquet", TABLE)
    assert store.read_bytes("a/b.bin") == b"\x00\xff"
    assert store.read_json("a/c.json") == {"x": [1, None, "é"]}
    assert store.read_table("a/d.parquet").equals(TABLE)
    assert store.read_table("a/d.parquet", ["b"]).column_names == ["b"]
    assert store.stat("a/d.parquet").size_bytes == size_bytes


def test_an_error_inside_a_write_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), store.create("a/b.bin") as sink:
        sink.write(b"half")
        raise ZeroDivisionError
    assert store.files(recursive=True) == []
    assert list((tmp_path / "a").iterdir()) == []


def test_an_error_inside_a_rewrite_leaves_the_old_file(store: Store) -> None:
    store.write_bytes("a", b"old")
    with pytest.raises(ZeroDivisionError), store.create("a") as sink:
        sink.write(b"half")
        raise ZeroDivisionError
    assert store.read_bytes("a") == b"old"


def test_a_file_is_not_there_before_its_block_ends(store: Store) -> None:
    with store.create("a/b.bin") as sink:
        sink.write(b"half")
        assert not store.exists("a/b.bin")
        assert store.files("a") == []
    assert store.exists("a/b.bin")


def test_a_listing_is_in_name_order_without_what_is_half_written(store: Store, tmp_path: Path) -> None:
    for name in ("f/c", "f/a", "f/sub/b"):
        store.write_bytes(name, b"1")
    (tmp_path / "f" / "d.12345678.partial").write_bytes(b"half")
    assert [file.path for file in store.files("f")] == ["f/a", "f/c"]
    assert [file.path for file in store.files("f", recursive=True)] == ["f/a", "f/c", "f/sub/b"]


def test_a_folder_that_is_not_there_is_empty(store: Store) -> None:
    assert store.files("nowhere") == []
    assert store.stat("nowhere") is None
    assert not store.exists("nowhere")


def test_deleting_takes_a_file_or_a_folder_and_absent_is_fine(store: Store) -> None:
    store.write_bytes("f/a", b"1")
    store.write_bytes("f/b", b"1")
    store.delete("f/a")
    assert [file.path for file in store.files("f")] == ["f/b"]
    store.delete("f")
    store.delete("f")
    assert not store.exists("f")


def test_an_error_names_the_path(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=rf"Could not read {tmp_path}/a/b"):
        store.read_bytes("a/b")
    store.write_bytes("file", b"1")
    with pytest.raises(StoreError, match=rf"Could not write {tmp_path}/file/below"):
        store.write_bytes("file/below", b"1")


def test_a_table_is_the_same_bytes_each_time() -> None:
    assert encode_table(TABLE) == encode_table(TABLE)
    assert decode_table(encode_table(TABLE)).equals(TABLE)


def test_cells_that_repeat_are_written_as_a_dictionary_and_numbers_that_do_not_as_they_are() -> None:
    draws = np.random.default_rng(0).normal(size=5_000)
    table = pa.table({"all": draws, "few": (draws > 0).astype(np.float32), "text": [f"{x}" for x in draws]})
    columns = pq.ParquetFile(pa.BufferReader(encode_table(table))).metadata.row_group(0)
    assert [columns.column(i).has_dictionary_page for i in range(3)] == [False, True, True]
    assert decode_table(encode_table(table)).equals(table)


def test_floats_of_32_bits_that_differ_are_not_compressed_and_all_else_is() -> None:
    draws = np.random.default_rng(0).normal(size=5_000)
    columns = {"narrow": draws.astype(np.float32), "wide": draws, "few": np.sign(draws).astype(np.float32)}
    nested = {"list": pa.array([[x] for x in draws.tolist()])}
    for table, codecs in (
        (pa.table(columns), ["UNCOMPRESSED", "ZSTD", "ZSTD"]),
        (pa.table(columns | nested), ["ZSTD", "ZSTD", "ZSTD", "ZSTD"]),
    ):
        written = encode_table(table)
        group = pq.ParquetFile(pa.BufferReader(written)).metadata.row_group(0)
        assert [group.column(i).compression for i in range(group.num_columns)] == codecs
        assert decode_table(written).equals(table)


def test_a_child_is_a_store_of_its_own(store: Store, tmp_path: Path) -> None:
    store.child("a/b").write_bytes("c", b"1")
    assert store.read_bytes("a/b/c") == b"1"
    assert store.child("a").uri == f"{tmp_path}/a"


def test_a_store_travels_by_its_uri(store: Store) -> None:
    store.write_bytes("a", b"1")
    assert pickle.loads(pickle.dumps(store)).read_bytes("a") == b"1"
    assert pickle.loads(pickle.dumps(Store("s3://b/a").at_once().child("c"))).waits_s == 0


def test_a_bucket_is_not_local_and_ends_without_a_slash() -> None:
    remote = Store("s3://bucket/prefix/")
    assert (remote.uri, remote.is_local) == ("s3://bucket/prefix", False)


def test_a_local_store_as_a_folder_is_itself(store: Store, tmp_path: Path) -> None:
    with store.as_folder() as folder:
        assert folder == tmp_path


def test_half_written_files_are_listed_apart_from_whole_ones(store: Store) -> None:
    store.write_bytes("a/b/whole", b"x")
    Path(store.uri, "a/b/torn.0a1b2c3d.partial").write_bytes(b"xy")
    assert [f.path for f in store.files(recursive=True)] == ["a/b/whole"]
    assert [(f.path, f.size_bytes) for f in store.unfinished("a")] == [("a/b/torn.0a1b2c3d.partial", 2)]


def test_what_a_link_leads_to_outside_is_not_held(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    store.write_bytes("a/b", b"")
    Path(store.uri, "a/in").symlink_to(Path(store.uri, "a"))
    Path(store.uri, "a/out").symlink_to(outside)
    assert store.holds("a/b") and store.holds("a/in/b") and store.holds("not/there")
    assert not store.holds("a/out") and not store.holds("a/out/b") and not store.holds("../b")


@pytest.mark.parametrize("data", [b"", b'{"a": 1', b"\xff\xfe"])
def test_a_damaged_json_file_is_named(store: Store, tmp_path: Path, data: bytes) -> None:
    store.write_bytes("a/manifest.json", data)
    with pytest.raises(StoreError, match=rf"{tmp_path}/a/manifest\.json is damaged.*\nDelete that file"):
        store.read_json("a/manifest.json")


def test_the_rows_of_a_table_are_told_by_its_footer_and_a_damaged_one_is_named(store: Store, tmp_path: Path) -> None:
    store.write_table("t.parquet", TABLE)
    assert store.rows_of("t.parquet") == 3
    store.write_bytes("torn.parquet", b"PAR1 half")
    with pytest.raises(StoreError, match=rf"{tmp_path}/torn\.parquet is damaged"):
        store.rows_of("torn.parquet")


def test_a_file_is_on_the_disk_before_it_has_its_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []

    def fsync(descriptor: int) -> None:
        synced.append(store.exists("manifest.json"))

    monkeypatch.setattr(os, "fsync", fsync)
    store.write_json("manifest.json", {})
    assert synced == [False]


def test_a_place_is_under_another_whatever_links_lead_there(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    real, link = Store(str(tmp_path / "real")), Store(str(tmp_path / "link"))
    assert real.is_under(real) and real.child("sub").is_under(link) and link.child("not/there").is_under(real)
    assert not real.is_under(real.child("sub")) and not Store(f"{real.uri}er").is_under(real)
    assert Store("s3://b/a/c").is_under(Store("s3://b/a/")) and not Store("s3://b/ab").is_under(Store("s3://b/a"))
    assert not real.is_under(Store("s3://b"))


@pytest.mark.parametrize("uri", ["s3x://b", "file:///b", "://"])
def test_a_scheme_that_nothing_reads_is_the_users_mistake(uri: str) -> None:
    with pytest.raises(SpecError, match=f"{uri} names no place that can be read"):
        Store(uri).exists("a.csv")


def test_a_folder_is_checked_by_writing_there(tmp_path: Path) -> None:
    Store(f"{tmp_path}/new/folder").check()
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=f"Could not write {tmp_path}/file/below"):
        Store(f"{tmp_path}/file/below").check()


def test_a_file_is_swapped_only_from_what_was_found(store: Store) -> None:
    assert store.peek("f/a") is None
    assert not store.swap("f/a", b"1", b"2") and store.peek("f/a") is None
    assert store.swap("f/a", None, b"1") and not store.swap("f/a", None, b"2")
    assert store.swap("f/a", b"1", b"3") and not store.swap("f/a", b"1", b"4")
    assert store.peek("f/a") == b"3"
    assert not store.swap("f/a", b"1", None) and store.swap("f/a", b"3", None)
    assert store.peek("f/a") is None and store.files(recursive=True) == []


@pytest.mark.parametrize("found", [None, b"old"])
def test_of_many_that_have_found_the_same_one_swaps_it(store: Store, found: bytes | None) -> None:
    if found is not None:
        store.write_bytes("a", found)
    with ThreadPoolExecutor(8) as pool:
        swapped = list(pool.map(lambda i: store.swap("a", found, bytes([i])), range(32)))
    assert swapped.count(True) == 1
    assert store.read_bytes("a") == bytes([swapped.index(True)])
    assert store.unfinished() == []
