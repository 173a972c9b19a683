"""A store in a bucket does what one in a folder does, on a real S3 server."""

from __future__ import annotations

import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from raymill.errors import ResourceError, StoreError
from raymill.lease import lease
from raymill.prepared import Prepared
from raymill.s3_service import service
from raymill.source import Source
from raymill.store import Store
from tests.datasets import ROWS, write_prepared
from tests.s3.conftest import BUCKET, UseAs
from tests.s3.server import READER, Server, User

TABLE = pa.table({"a": [1, 2, None], "b": ["x", "y", "z"]})
PARTS_BYTES = 25 << 20  # more than goes in one request


def test_bytes_json_and_tables_come_back(store: Store) -> None:
    store.write_bytes("a/b.bin", b"\x00\xff")
    store.write_json("a/c.json", {"x": [1, None, "é"]})
    size_bytes = store.write_table("a/d.parquet", TABLE)
    assert store.read_bytes("a/b.bin") == b"\x00\xff"
    assert store.read_json("a/c.json") == {"x": [1, None, "é"]}
    assert store.read_table("a/d.parquet").equals(TABLE)
    assert store.read_table("a/d.parquet", ["b"]).column_names == ["b"]
    assert store.rows_of("a/d.parquet") == 3
    assert store.stat("a/d.parquet") == store.files("a")[-1]
    assert store.files("a")[-1].size_bytes == size_bytes
    assert pickle.loads(pickle.dumps(store)).child("a").read_bytes("b.bin") == b"\x00\xff"


def test_an_object_of_many_parts_comes_back_and_is_read_anywhere(store: Store) -> None:
    data = os.urandom(PARTS_BYTES)
    store.write_bytes("big", data)
    assert store.read_bytes("big") == data
    with store.reading("big") as stream:
        assert (stream.size(), stream.seek(PARTS_BYTES - 10)) == (PARTS_BYTES, PARTS_BYTES - 10)
        assert stream.read() == data[-10:]


def test_an_error_inside_a_write_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.create("a/b.bin") as sink:
        sink.write(b"half")
        raise ZeroDivisionError
    assert not store.exists("a/b.bin") and store.files(recursive=True) == []


def test_a_listing_is_in_name_order_and_knows_folders(store: Store) -> None:
    for name in ("f/c", "f/a b%20ü+&", "f/sub/b", "f-1/d"):
        store.write_bytes(name, b"1")
    assert [file.path for file in store.files("f")] == ["f/a b%20ü+&", "f/c"]
    assert [file.path for file in store.files("f", recursive=True)] == ["f/a b%20ü+&", "f/c", "f/sub/b"]
    assert store.child("f").files(recursive=True)[0].path == "a b%20ü+&"
    assert store.read_bytes("f/a b%20ü+&") == b"1"
    assert store.files("nowhere") == [] and store.files("f/c") == [] and store.stat("f") is None


def test_more_objects_than_one_answer_names_are_listed_and_deleted(store: Store) -> None:
    names = [f"many/{i:04d}" for i in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.write_bytes(name, b""), names))
    assert [file.path for file in store.files("many")] == names
    store.delete("many")
    assert store.files(recursive=True) == []


def test_a_deleted_folder_is_gone_and_so_is_one_whose_last_file_was_deleted(store: Store) -> None:
    store.write_bytes("f/a", b"1")
    store.write_bytes("f/sub/b", b"1")
    store.write_bytes("fa", b"1")
    store.delete("f/a")
    store.delete("f/a")
    assert not store.exists("f/a") and store.exists("f") and store.exists("f/sub")
    store.delete("f/sub/b")
    assert not store.exists("f") and not store.exists("f/sub")
    store.write_bytes("f/a", b"1")
    store.delete("f")
    assert not store.exists("f") and store.read_bytes("fa") == b"1"
    store.delete("")
    assert not store.exists("")


def test_the_marker_of_an_empty_folder_is_no_folder(store: Store) -> None:
    _, _, key = store.uri.removeprefix("s3://").partition("/")
    for marker in (f"{key}/f/", f"{key}/f/sub/"):
        service().client.put_object(Bucket=BUCKET, Key=marker, Body=b"")
    assert not store.exists("f") and store.files(recursive=True) == []
    store.delete("f")


def test_a_store_as_a_folder_is_a_copy_that_vanishes(store: Store) -> None:
    store.write_bytes("a/b", b"1")
    store.write_bytes("c", b"2")
    with store.as_folder() as folder:
        assert (folder / "a" / "b").read_bytes() + (folder / "c").read_bytes() == b"12"
    assert not folder.exists()


def test_a_missing_object_is_named_at_once(store: Store) -> None:
    started_s = time.monotonic()
    with pytest.raises(StoreError, match=f"Could not read {store.uri}/a/b"):
        store.read_bytes("a/b")
    assert time.monotonic() - started_s < 2


def test_a_prepared_dataset_is_written_and_read_back(store: Store) -> None:
    written = write_prepared(store.child("datasets/d").uri)
    found = Prepared.open(written.uri)
    assert {name: split.rows for name, split in found.splits.items()} == ROWS
    assert sum(found.read(shard).num_rows for shard in found.splits["train"].shards) == ROWS["train"]
    store.delete("datasets/d")
    assert not store.exists("datasets")


def test_a_lease_has_one_holder_at_a_time(store: Store) -> None:
    with (
        lease(store, "lease.json", "The run x"),
        pytest.raises(ResourceError, match=f"The run x .* process {os.getpid()}"),
        lease(store, "lease.json", "The run x"),
    ):
        pass
    with lease(store, "lease.json", "The run x"):
        assert store.exists("lease.json")
    assert not store.exists("lease.json")


def test_an_object_is_swapped_only_from_what_was_found(store: Store) -> None:
    assert store.peek("a") is None
    assert not store.swap("a", b"1", b"2") and store.peek("a") is None
    assert store.swap("a", None, b"1") and not store.swap("a", None, b"2")
    assert store.swap("a", b"1", b"3") and not store.swap("a", b"1", b"4")
    assert store.peek("a") == b"3"
    assert not store.swap("a", b"1", None) and store.swap("a", b"3", None)
    assert store.peek("a") is None


@pytest.mark.parametrize("found", [None, b"old"])
def test_of_many_that_have_found_the_same_one_swaps_it(store: Store, found: bytes | None) -> None:
    if found is not None:
        store.write_bytes("a", found)
    with ThreadPoolExecutor(8) as pool:
        swapped = list(pool.map(lambda i: store.swap("a", found, bytes([i])), range(32)))
    assert swapped.count(True) == 1
    assert store.read_bytes("a") == bytes([swapped.index(True)])


def test_a_lease_that_another_has_by_now_is_left_to_it(store: Store) -> None:
    theirs = {"id": "other", "host": "elsewhere", "pid": 1, "at": time.time()}
    with (
        pytest.raises(ResourceError, match="x was taken over by process 1 on elsewhere"),
        lease(store, "lease.json", "x") as held,
    ):
        store.write_json("lease.json", theirs)
        held.renew()
    assert store.read_json("lease.json") == theirs


def test_a_checked_store_is_left_as_it_was(store: Store) -> None:
    store.check()
    assert store.files(recursive=True) == []


def test_what_a_user_may_not_is_said_at_once(store: Store, act_as: UseAs) -> None:
    store.write_bytes("a", b"1")
    act_as(READER)
    assert store.read_bytes("a") == b"1"
    with pytest.raises(StoreError, match=f"s3://{BUCKET} may not be written to"):
        store.check()
    with pytest.raises(StoreError, match=f"Could not write {store.uri}/b"):
        store.write_bytes("b", b"1")
    with pytest.raises(StoreError, match=f"Could not delete {store.uri}/a"):
        store.delete("a")


def test_wrong_credentials_are_said_at_once(store: Store, act_as: UseAs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreError, match=f"s3://{BUCKET} may not be reached"):
        store.check()
    act_as(User("nobody", ()))
    with pytest.raises(StoreError, match=f"Could not list {store.uri}"):
        store.files()


def test_a_missing_bucket_is_named(store: Store, server: Server) -> None:
    missing = Store("s3://no-such-bucket/x")
    with pytest.raises(StoreError, match=f"There is no bucket s3://no-such-bucket at {server.endpoint}"):
        missing.check()
    with pytest.raises(StoreError, match="no-such-bucket"):
        missing.write_bytes("a", b"1")


def test_a_source_overwritten_with_as_many_bytes_has_another_fingerprint(store: Store) -> None:
    store.write_bytes("t/a.csv", b"x,y\n1,2\n")
    uris = [f"{store.uri}/t", f"{store.uri}/t/*.csv", f"{store.uri}/t/a.csv", f"{store.uri}/t/a.?sv"]
    before = [Source.open(uri).fingerprint for uri in uris]
    assert [Source.open(uri).fingerprint for uri in uris] == before
    assert len(set(before)) == 1
    store.write_bytes("t/a.csv", b"x,y\n1,3\n")
    after = [Source.open(uri) for uri in uris]
    assert len({source.fingerprint for source in after}) == 1
    assert after[0].fingerprint != before[0]
    assert after[0].pieces[0].read().column("y").to_pylist() == ["3"]
