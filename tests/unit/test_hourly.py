"""Folders by the hour sort by time, and only those of the asked hours are read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from raymill.hourly import hour_at, hour_folder, hourly_files
from raymill.store import Store

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def test_an_hour_is_a_folder_of_its_day_in_utc() -> None:
    assert hour_folder(hour_at(NOON.timestamp())) == "date=2026-11-26/hour=12"
    assert hour_folder(hour_at(NOON.timestamp() - 0.001)) == "date=2026-11-26/hour=11"


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=20))
def test_folders_sort_by_time(hours: list[int]) -> None:
    assert sorted(map(hour_folder, hours)) == [hour_folder(hour) for hour in sorted(hours)]


def test_files_come_from_the_asked_hours_across_midnight_in_order(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for hours in range(-14, 14):
        store.write_bytes(f"log/{hour_folder(hour_at((NOON + timedelta(hours=hours)).timestamp()))}/a.parquet", b"")
    store.write_bytes("log/date=2026-11-26/hour=00/notes.txt", b"")
    until = (NOON + timedelta(hours=-10)).astimezone(timezone(timedelta(hours=5)))
    found = list(hourly_files(store, "log", NOON - timedelta(hours=13, minutes=30), until))
    assert found == [
        f"log/date=2026-11-{hour}/a.parquet"
        for hour in ("25/hour=22", "25/hour=23", "26/hour=00", "26/hour=01", "26/hour=02")
    ]


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert list(hourly_files(Store(str(tmp_path)), "log", NOON, NOON)) == []
