"""Labelled: what an endpoint answered beside what turned out true, joined from its log in the store.

It knows columns and the store; who asks for labels, and what is made of them, is nothing to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from raymill.endpoint_log import feedback_folder, requests_folder
from raymill.errors import DataError
from raymill.hourly import hourly_files
from raymill.store import Store

_FILES_AT_ONCE = 16
_KEY = ["request_id", "row"]
_ANSWER = [*_KEY, "version"]


def labelled(store: Store, name: str, since: datetime, until: datetime, now: datetime | None = None) -> pa.Table:
    """The logged answers of an endpoint in [since, until) for which a label has come by `now`.

    Returns `request_id`, `row`, `version`, `prediction`, `label`; the last two are classes, or float64 for regression.
    A row that two versions have scored is there for each. Of several labels for a row the last counts, and of several
    answers of a version to one id the last. Times have a zone. Raises StoreError, and DataError where the log is of
    two tasks.
    """
    answers = _read(store, hourly_files(store, requests_folder(name), since, until), [*_ANSWER, "prediction", "at"])
    came = hourly_files(store, feedback_folder(name), since, now or datetime.now(UTC))
    labels = _read(store, came, [*_KEY, "label", "at"])
    kind = _kind(name, [table["prediction"].type for table in answers] + [table["label"].type for table in labels])
    if not answers or not labels:
        return _nothing(kind)
    answered = _within(pa.concat_tables(answers), since, until)
    joined = _last(answered, _ANSWER, "prediction").join(
        _last(pa.concat_tables(labels), _KEY, "label"), _KEY, join_type="inner"
    )
    return joined.select([*_ANSWER, "prediction", "label"]).sort_by([(column, "ascending") for column in _ANSWER])


def _read(store: Store, paths: Iterable[str], columns: list[str]) -> list[pa.Table]:
    with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="labelled") as pool:
        return list(pool.map(lambda path: store.read_table(path, columns), paths))


def _kind(name: str, found: list[pa.DataType]) -> pa.DataType:
    """The one type of predictions and labels; null where there are none."""
    if len(set(found)) > 1:
        raise DataError(
            f"The log of {name} is of two tasks: there are numbers and classes in it.",
            "Ask for the time after the task was changed.",
        )
    return found[0] if found else pa.null()


def _nothing(kind: pa.DataType) -> pa.Table:
    types = {"request_id": pa.string(), "row": pa.int32(), "version": pa.string(), "prediction": kind, "label": kind}
    return pa.schema(types).empty_table()


def _within(answers: pa.Table, since: datetime, until: datetime) -> pa.Table:
    at = answers["at"]
    first, end = (pa.scalar(time, at.type) for time in (since, until))
    return answers.filter(pc.and_(pc.greater_equal(at, first), pc.less(at, end)))


def _last(table: pa.Table, key: list[str], value: str) -> pa.Table:
    """Of the rows with equal keys the last in time."""
    # Without threads, which would hand rows to an aggregation in any order.
    found = table.sort_by("at").group_by(key, use_threads=False).aggregate([(value, "last")])
    return found.rename_columns([*key, value])
