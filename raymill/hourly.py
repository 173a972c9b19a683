"""Hourly: tables that come all day, as Parquet files in one folder for each hour of UTC.

    FOLDER/date=2026-11-26/hour=09/NAME.parquet

It knows names and hours, and not what the tables hold. DuckDB, Spark, Polars and pyarrow read such names of folders
as columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from raymill.store import Store

_HOUR_S = 3_600
_DAY = timedelta(days=1)


def hour_at(at_s: float) -> int:
    """The hour, counted from 1970 in UTC, in which a time in seconds since then lies."""
    return int(at_s // _HOUR_S)


def hour_folder(hour: int) -> str:
    """`date=2026-11-26/hour=09`: such names sort by time."""
    return f"{datetime.fromtimestamp(hour * _HOUR_S, UTC):date=%Y-%m-%d/hour=%H}"


def hourly_files(store: Store, folder: str, since: datetime, until: datetime) -> Iterator[str]:
    """The Parquet files of all hours in which some of [since, until) lies, in the order of hours and names.

    Both must have a zone. A day is listed at a time, so that years of a log cost nothing. Raises StoreError.
    """
    first = hour_folder(hour_at(since.timestamp()))
    last = hour_folder(hour_at(until.timestamp()))
    day = since.astimezone(UTC).date()
    while day <= until.astimezone(UTC).date():
        for file in store.files(f"{folder}/{day:date=%Y-%m-%d}", recursive=True):
            hour = file.path.removeprefix(f"{folder}/").rpartition("/")[0]
            if first <= hour <= last and file.path.endswith(".parquet"):
                yield file.path
        day += _DAY
