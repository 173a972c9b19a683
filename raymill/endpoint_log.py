"""The endpoint log: what an endpoint's replicas leave in the store of what they answered, and of what turned out true.

    endpoints/NAME/requests/date=.../hour=.../*.parquet    a row for each row of a logged request
    endpoints/NAME/feedback/date=.../hour=.../*.parquet    a row for each label, by the hour in which it came

| column of requests | type | |
|---|---|---|
| request_id, row | string, int32 | the row's place in its request, from 0 |
| version, at, seconds | string, timestamp[us, UTC], float64 | who answered, when, and in how long |
| prediction, p_CLASS | as in `raymill.answers` | |
| input_COLUMN | as in `raymill.cells` | the conformed cells, but for private columns |

| column of feedback | type | |
|---|---|---|
| request_id, row, at | the same | `at` is when the label came |
| label | string, float64 for regression | a class, or a value in the target's own units |

It knows names and columns, and neither who samples nor how files get their times.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raymill.answers import answer_columns
from raymill.task import Task

INPUT = "input_"
_AT = pa.timestamp("us", "UTC")


def requests_folder(name: str) -> str:
    """Where in a store the requests to the endpoint of that name are."""
    return f"endpoints/{name}/requests"


def feedback_folder(name: str) -> str:
    """Where in a store the labels for the endpoint of that name are."""
    return f"endpoints/{name}/feedback"


def request_table(
    task: Task, version: str, inputs: pa.Table, scores: np.ndarray, requests: pa.Table, rows: np.ndarray
) -> pa.Table:
    """What is logged of some requests to one version.

    `requests` says `request_id`, `seconds` and `at` (float64 seconds since 1970) of each request, `rows` (requests,)
    how many rows each has; `inputs` and `scores` hold the rows themselves, one request's after the other's.
    """
    of_request = pa.array(np.repeat(np.arange(len(rows)), rows))
    told = requests.take(of_request)
    starts = np.repeat(np.cumsum(rows) - rows, rows)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        "request_id": told["request_id"],
        "row": pa.array(np.arange(len(starts)) - starts, pa.int32()),
        "version": pa.repeat(version, len(starts)),
        "at": times(told["at"].to_numpy()),
        "seconds": told["seconds"],
    }
    columns |= {name: pa.array(values) for name, values in answer_columns(task, scores).items()}
    return pa.table(columns | {f"{INPUT}{name}": inputs[name] for name in inputs.column_names})


def feedback_table(request_ids: pa.Array, rows: pa.Array, labels: pa.Array, at_s: float) -> pa.Table:
    """What is stored of labels that came together; `labels` are strings, or float64 for regression."""
    at = times(np.full(len(labels), at_s))
    return pa.table({"request_id": request_ids, "row": rows.cast(pa.int32()), "label": labels, "at": at})


def times(seconds: np.ndarray) -> pa.Array:
    """Seconds since 1970 `(n,) float64` as timestamps."""
    return pa.array((seconds * 1e6).astype(np.int64)).cast(_AT)
