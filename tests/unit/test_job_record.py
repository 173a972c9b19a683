"""The record of a job in the store: found by the spec's name, and read for what it is now."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from raymill.errors import DataError
from raymill.job_record import LOST, RUNNING, JobRecord, ids, new_id, newest, read
from raymill.store import Store

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def begun(command: str = "train", minutes: int = 0, name: str = "t") -> JobRecord:
    at = NOON + timedelta(minutes=minutes)
    return JobRecord.begin(name, command, f"{command} t.yaml", "embedded", at)


def test_what_was_written_is_read() -> None:
    assert begun().id.startswith("t-train-20261122-120000-")
    assert begun().alive == "2026-11-22T12:00:00Z"
    assert JobRecord.begin("t", "run", "", "h:1", NOON, "given").id == "given"


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    event = {"at": "2026-11-22T12:00:00Z", "kind": "retry", "text": "a worker died"}
    record = replace(begun(), state="failed", runs=("t-01234567",), events=(event,), error={"what": "a", "fix": "b"})
    record.write(store)
    assert read(store, record.id, NOON) == record
    assert read(store, "t-train-20261122-120000-ffff", NOON) is None


def test_the_newest_of_a_name_is_first_and_namesakes_are_left_out(store: Store) -> None:
    mine = [begun("train", 1), begun("run", 3), begun("prepare", 2)]
    for record in (*mine, begun(name="t-train", minutes=9), begun(name="s-t", minutes=9)):
        record.write(store)
    (Path(store.uri) / "jobs" / "t-other").mkdir()
    (Path(store.uri) / "jobs" / "t-other" / "job.json").write_text("{}")
    assert ids(store, "t") == [mine[1].id, mine[2].id, mine[0].id]
    assert [record.command for record in newest(store, "t", NOON)] == ["run", "prepare", "train"]
    assert ids(store, "absent") == []


def test_two_of_one_second_have_two_names() -> None:
    assert new_id("t", "run", NOON) != new_id("t", "run", NOON)


def test_a_job_that_shows_no_life_is_lost(store: Store) -> None:
    record = replace(begun(), space="elsewhere")
    assert record.seen(NOON + timedelta(seconds=59)).state == RUNNING
    assert record.seen(NOON + timedelta(seconds=61)).state == LOST
    ended = replace(record, state="succeeded")
    assert ended.seen(NOON + timedelta(days=9)) == ended


def test_a_job_whose_process_is_gone_from_this_machine_is_lost_at_once() -> None:
    assert begun().pid == os.getpid()
    assert begun().seen(NOON).state == RUNNING
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    assert replace(begun(), pid=int(gone.stdout)).seen(NOON).state == LOST


def test_a_job_whose_number_another_process_has_by_now_is_lost_at_once() -> None:
    assert replace(begun(), born=begun().born - 1).seen(NOON).state == LOST


def test_of_a_process_that_can_not_be_seen_from_here_its_word_counts() -> None:
    gone = replace(begun(), space="another container", born=1)
    assert gone.seen(NOON + timedelta(seconds=59)).state == RUNNING
    assert gone.seen(NOON + timedelta(seconds=61)).state == LOST


def test_no_secret_is_written(store: Store) -> None:
    said = {"what": "Could not read s3://KEY:SECRET@lake/a.", "fix": "See https://h/?token=abc"}
    record = replace(begun(), words="train store=s3://KEY:SECRET@lake/x", error=said)
    record.write(store)
    text = store.read_bytes(f"jobs/{record.id}/job.json").decode()
    assert "SECRET" not in text and "abc" not in text and "s3://lake/x" in text


def test_a_record_of_another_version_is_named_and_passed_over(store: Store) -> None:
    old, new = begun(minutes=5), begun()
    for record in (old, new):
        record.write(store)
    path = f"jobs/{old.id}/job.json"
    store.write_json(path, json.loads(store.read_bytes(path)) | {"format": 99})
    with pytest.raises(DataError, match=rf"{old.id}/job.json .* has the format 99"):
        read(store, old.id, NOON)
    assert list(newest(store, "t", NOON)) == [new]


@pytest.mark.parametrize(
    "damage",
    [
        '{"format": 1,',
        {"alive": 5},
        {"alive": "2026-11-22T12:00:00"},
        {"events": None},
        {"error": "boom"},
        {"pid": "x"},
    ],
)
def test_a_damaged_record_is_named_and_passed_over(store: Store, damage: str | dict[str, object]) -> None:
    torn, whole = begun(minutes=5), begun()
    for record in (torn, whole):
        record.write(store)
    path = f"jobs/{torn.id}/job.json"
    text = damage if isinstance(damage, str) else json.dumps(json.loads(store.read_bytes(path)) | damage)
    store.write_bytes(path, text.encode())
    with pytest.raises(DataError, match=rf"{torn.id}/job.json is damaged"):
        read(store, torn.id, NOON)
    assert list(newest(store, "t", NOON)) == [whole]
