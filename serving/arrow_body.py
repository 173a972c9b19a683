"""Arrow IPC bodies: a stream of record batches in, a stream of answers out.

Nothing of a stream is trusted: sizes are bounded before Arrow decompresses, types are known before a column is read,
and what lies in buffers is validated before it is used, as Arrow's docs/format/Security.rst asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymill.answers import answer_columns
from raymill.cells import is_supported
from raymill.schema import Schema
from raymill.task import Task
from serving.arrow_message import claimed_bytes
from serving.body import MOST_BYTES, MOST_ROWS
from serving.refusal import Refusal

ARROW = "application/vnd.apache.arrow.stream"
# A body may be compressed, and its cells may point to one text more than once: both end here.
MOST_DECODED = 4 * MOST_BYTES
_MOST_MESSAGES = 1_000
# Of which the first is the length of the text.
_INTS_PER_VIEW = 4
# Arrow itself writes and reads none beyond, of a decimal128.
_MOST_PLACES = 38


def table_of_stream(body: bytes, schema: Schema) -> pa.Table:
    """The raw table of a stream: the model's features, without other columns that it has.

    Raises Refusal 400 for no such stream, 413 for too much, 422 for no rows or for a type that no feature has, and
    DataError for a feature that isn't there.
    """
    try:
        table = _read(body)
        names = table.column_names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Refusal(400, f"The body is no Arrow IPC stream: {_first_line(error)}.") from error
    schema.require(names)
    features = _features(table, schema)
    try:
        features.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        raise Refusal(400, f"The Arrow stream holds what can't be: {_first_line(error)}.") from error
    if sum(map(_text_bytes, _chunks(features))) > MOST_DECODED:
        raise _too_large()
    return features


def stream_of(task: Task, scores: np.ndarray) -> bytes:
    """The answers of scores as a stream: `prediction`, and for classes `p_<class>` (float64)."""
    table = pa.table(answer_columns(task, scores))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _read(body: bytes) -> pa.Table:
    """Raises whatever Arrow does, ValueError, Refusal."""
    decoded = 0
    for count, message in enumerate(_messages(body)):
        decoded += claimed_bytes(memoryview(message.metadata), memoryview(message.body or b""))
        if decoded > MOST_DECODED or count == _MOST_MESSAGES:
            raise _too_large()
    table = pa.ipc.open_stream(body).read_all()
    if table.num_rows > MOST_ROWS:
        raise Refusal(413, f"The body has {table.num_rows} rows; send at most {MOST_ROWS} at a time.")
    if table.num_rows == 0:
        raise Refusal(422, "There are no rows. Send at least one row.")
    return table


def _messages(body: bytes) -> Iterator[pa.ipc.Message]:
    reader = pa.ipc.MessageReader.open_stream(body)
    while True:
        try:
            yield reader.read_next_message()
        except StopIteration:
            return


def _features(table: pa.Table, schema: Schema) -> pa.Table:
    twice = [name for name, times in Counter(table.column_names).items() if times > 1 and name in schema.kinds]
    if twice:
        raise Refusal(422, f"The stream has the column {twice[0]!r} twice; send it once.")
    features = table.select(list(schema.kinds))
    for field in features.schema:
        if not _is_readable(field.type):
            shown = str(field.type)[:80]
            raise Refusal(422, f"Column {field.name!r} is of type {shown}; send numbers, texts, booleans or times.")
    return features


def _is_readable(dtype: pa.DataType) -> bool:
    """By the type alone: to make an array of a stranger's type can end the process, as of a union of nothing."""
    if pa.types.is_string_view(dtype):
        return True
    # Arrow decodes no dictionary of views.
    value = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
    if pa.types.is_decimal(value) and abs(value.scale) > _MOST_PLACES:
        return False
    return is_supported(value) or pa.types.is_large_string(value)


def _chunks(table: pa.Table) -> Iterator[pa.Array]:
    return (chunk for column in table.columns for chunk in column.chunks)


def _text_bytes(cells: pa.Array) -> int:
    """How much text the cells are once each has its own."""
    if pa.types.is_dictionary(cells.type):
        lengths = _lengths(cells.dictionary)
        return 0 if lengths is None else int(pc.sum(lengths.take(cells.indices), min_count=0).as_py())
    lengths = _lengths(cells)
    return 0 if lengths is None else int(pc.sum(lengths, min_count=0).as_py())


def _lengths(cells: pa.Array) -> pa.Array | None:
    """The bytes of each text, int64; None for what is no text."""
    if len(cells) == 0:
        return pa.array([], pa.int64())
    if pa.types.is_string_view(cells.type):
        # Whatever lies behind the last view is none of it.
        views = np.frombuffer(cells.buffers()[1], np.int32, _INTS_PER_VIEW * (cells.offset + len(cells)))
        lengths = views[::_INTS_PER_VIEW][cells.offset :].astype(np.int64)
        return pa.array(lengths, mask=cells.is_null().to_numpy(zero_copy_only=False))
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        return pc.binary_length(cells).cast(pa.int64())
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")[:200] or type(error).__name__


def _too_large() -> Refusal:
    return Refusal(413, f"The stream is larger than {MOST_DECODED} bytes once it is read; send fewer rows at a time.")
