"""Feedback: `POST /v1/NAME/feedback` takes the labels that turned out true, by request id and row.

    {"feedback": [{"request_id": "...", "row": 0, "label": ...}, ...]}     or one such object; row 0 may be left out

| task | label |
|---|---|
| classification | a class, as the endpoint answers it; where classes are numbers or booleans, such a JSON value too |
| classification, `at_least` | `"True"`, `"False"`, a boolean, or the number itself: the threshold makes a class of it |
| regression | a finite number, in the target's own units |

It is answered with 202 once it waits to be written, which happens within seconds; a label for an id that was never
logged is taken too, and joined to nothing. Many labels are one JSON array, and few calls.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from starlette.requests import Request
from starlette.responses import Response

from raymill.endpoint_log import feedback_folder, feedback_table
from raymill.json_rows import MOST_PROBLEMS, Problem, RowsError, problem, table_from_rows
from raymill.native import Native
from raymill.spec import FeatureType
from raymill.store import Store
from raymill.task import Task
from serving.apart import apart
from serving.body import MOST_ROWS, json_of, kind_of, read_body
from serving.hourly_writer import Bounds, HourlyWriter, held_bytes
from serving.refusal import Refusal

MOST_LABELS = 10_000
MOST_ID = 128
_EVERY_S = 5.0
_RETRY_AFTER_S = 10
_BOUNDS = Bounds(rows=100_000, size_bytes=32 * 1024 * 1024)
_KEYS = frozenset({"request_id", "row", "label"})
_SHAPE = 'The body must be {"feedback": [{"request_id": "...", "row": 0, "label": ...}, ...]} or one such object'
_MOST_SHOWN = 80
_CLASSES_SHOWN = 20


class Feedback:
    """Takes labels into a bounded memory, from which a writer takes them to the store."""

    def __init__(
        self, store: Store, name: str, replica: str, task: Task, clock: Callable[[], float] = time.time
    ) -> None:
        self._task, self._clock = task, clock
        self._apart = ThreadPoolExecutor(1, "large-feedback")
        self.writer = HourlyWriter(
            store, feedback_folder(name), replica, _together, every_s=_EVERY_S, bounds=_BOUNDS, clock=clock
        )

    async def take(self, request: Request, request_id: str) -> Response:
        """The handler: 202 and how many labels were taken, all or none.

        Raises Refusal: 503 where none has room, 403 for the page of another site: on loopback, where no token is
        asked for, any page that a browser shows could send labels.
        """
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Refusal(403, "Labels are not taken from the page of another site.")
        at_s = self._clock()
        body = await read_body(request)
        labels = await apart(self._apart, len(body), lambda: labels_of(body, self._task, at_s))
        rows, size_bytes = labels.num_rows, held_bytes(labels)
        if not self.writer.offer(labels, group="", at_s=at_s, rows=rows, size_bytes=size_bytes):
            raise Refusal(
                503,
                "As many labels wait to be written as may; send these again later.",
                headers={"retry-after": str(_RETRY_AFTER_S)},
            )
        answer = json.dumps({"accepted": rows, "request_id": request_id})
        return Response(answer, 202, media_type="application/json")


def labels_of(body: bytes, task: Task, at_s: float) -> pa.Table:
    """The labels of a body, as `raymill.endpoint_log` keeps them.

    Raises Refusal: 400 for no JSON, 413 for too many labels, 422 for another shape or labels that the task hasn't,
    naming up to 100 of them.
    """
    entries = _entries(json_of(body))
    _refuse(_misshapen(entries))
    labels = _labels([entry["label"] for entry in entries], task)
    ids = pa.array([entry["request_id"] for entry in entries], pa.string())
    rows = pa.array([int(entry.get("row", 0)) for entry in entries], pa.int32())
    return feedback_table(ids, rows, labels, at_s)


def _entries(value: Any) -> list[Any]:
    if not isinstance(value, dict):
        raise Refusal(422, f"{_SHAPE}, not {kind_of(value)}.")
    if "feedback" not in value:
        return [value]
    if len(value) > 1:
        raise Refusal(422, f'{_SHAPE}, with nothing beside "feedback".')
    entries = value["feedback"]
    if not isinstance(entries, list) or not entries:
        found = "an empty one" if entries == [] else kind_of(entries)
        raise Refusal(422, f'"feedback" must be an array of objects, not {found}.')
    if len(entries) > MOST_LABELS:
        raise Refusal(413, f"The body has {len(entries)} labels; send at most {MOST_LABELS} at a time.")
    return entries


def _misshapen(entries: Iterable[Any]) -> Iterator[Problem]:
    """What is wrong with the objects, before their labels are looked at."""
    for index, entry in enumerate(entries):
        if type(entry) is not dict:
            yield problem(index, "", "expected an object", entry)
            continue
        for key in entry.keys() - _KEYS:
            yield problem(index, key[:_MOST_SHOWN], "unknown key", entry[key])
        if not _is_id(entry.get("request_id")):
            yield problem(index, "request_id", f"expected a text of 1 to {MOST_ID} letters", entry.get("request_id"))
        row = entry.get("row", 0)
        if type(row) not in (int, float) or row % 1 or not 0 <= row < MOST_ROWS:  # to JSON 7.0 is 7
            yield problem(index, "row", f"expected an integer from 0 to {MOST_ROWS - 1}", row)
        if entry.get("label") is None:
            yield problem(index, "label", "expected a label", None)


def _is_id(value: Any) -> bool:
    """Whether it is a text such as ids are, and Unicode: half of a surrogate pair isn't."""
    if type(value) is not str or not 0 < len(value) <= MOST_ID:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _labels(values: list[Any], task: Task) -> pa.Array:
    if task.at_least is not None:
        values = [_reaches(value, task.at_least) for value in values]
    kind: FeatureType = "number" if task.kind == "regression" else "category"
    natives: dict[str, Native] = {"label": "boolean"} if set(task.classes) == {"true", "false"} else {}
    try:
        table = table_from_rows({"label": kind}, natives, [{"label": value} for value in values])
    except RowsError as error:
        _refuse(error.problems)
        raise
    labels = table["label"].combine_chunks()
    if task.kind == "classification":
        expected = f"expected one of the classes {', '.join(task.classes[:_CLASSES_SHOWN])}"
        known = pc.is_in(labels, value_set=pa.array(task.classes))
        _refuse(problem(i, "label", expected, values[i]) for i in pc.indices_nonzero(pc.invert(known)).to_pylist())
    return labels


def _reaches(value: Any, threshold: float) -> Any:
    """The class that a boolean names or a finite number falls into; what is neither stays what it is."""
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return str(value >= threshold)
    return str(value) if type(value) is bool else value


def _refuse(problems: Iterable[Problem]) -> None:
    """Refuses a body in which something is wrong."""
    shown = list(islice(problems, MOST_PROBLEMS))
    if shown:
        first = shown[0]
        column = f", {first['column']!r}" if first["column"] else ""
        more = f" (and {len(shown) - 1} more problems)" if len(shown) > 1 else ""
        raise Refusal(422, f"Label {first['row']}{column}: {first['problem']}{more}.", errors=shown)


def _together(group: str, tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables)
