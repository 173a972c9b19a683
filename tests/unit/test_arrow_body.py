"""Arrow streams from strangers: read where they are sound, and refused, never believed, where they are not."""

from __future__ import annotations

import contextlib
import json
import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raymill.errors import DataError
from serving.arrow_body import ARROW, MOST_DECODED, table_of_stream
from serving.arrow_predict import arrow_handler, is_arrow
from serving.refusal import Refusal
from tests.served import ALL_KINDS, POOL, PRICE, TWO_NUMBERS, YES_NO, ask, request_with, scoring, served

ROWS = 20
TEXTS = [None if i % 7 == 0 else f"c{i % 5}" + "é" * (i % 3) + "more than twelve bytes" * (i % 2) for i in range(ROWS)]
FUZZED = 1_500


def stream(table: pa.Table, compression: str | None = None, rows: int = 7) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return bytes(sink.getvalue())


def table(**changes: Any) -> pa.Table:
    columns = {
        "size": pa.array(np.arange(ROWS) / 32),
        "colour": pa.array(TEXTS),
        "sold": pa.array([bool(i % 2) if i % 5 else None for i in range(ROWS)]),
        "at": pa.array(["2026-01-01T00:00:00"] * ROWS),
    }
    return pa.table(columns | changes)


SOUND = {
    "plain": table(),
    "dictionary": table(colour=pa.array(TEXTS).dictionary_encode()),
    "large strings": table(colour=pa.array(TEXTS, pa.large_string())),
    "string views": table(colour=pa.array(TEXTS, pa.string_view())),
    "decimals and times": table(
        size=pa.array(range(ROWS), pa.decimal128(10, 2)), at=pa.array(range(ROWS), pa.timestamp("ns", "UTC"))
    ),
    "narrow numbers": table(size=pa.array(np.arange(ROWS), pa.float16()), sold=pa.array([0, 1] * 10, pa.uint8())),
    "more columns": table(nested=pa.array([[{"a": None}]] * ROWS)),
}


def test_views_before_bytes_that_are_none_are_read() -> None:
    views = pa.array(TEXTS, pa.string_view()).buffers()
    odd = pa.Array.from_buffers(pa.string_view(), ROWS, [views[0], pa.py_buffer(bytes(views[1]) + b"x"), *views[2:]])
    assert table_of_stream(stream(table(colour=odd), rows=ROWS), ALL_KINDS)["colour"].to_pylist() == TEXTS


@pytest.mark.parametrize("values", [pa.string(), pa.large_string()])
def test_a_dictionary_of_nothing_is_missing_cells(values: pa.DataType) -> None:
    missing = pa.DictionaryArray.from_arrays(pa.nulls(ROWS, pa.int8()), pa.array([], values))
    found = table_of_stream(stream(table(colour=missing)), ALL_KINDS)
    assert found["colour"].null_count == ROWS


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("name", SOUND)
def test_a_sound_stream_is_its_table(name: str, compression: str | None) -> None:
    found = table_of_stream(stream(SOUND[name], compression), ALL_KINDS)
    assert found.column_names == list(ALL_KINDS.kinds)
    assert found.equals(SOUND[name].select(found.column_names))


NUMBERS = [pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.decimal32(5, 2), pa.decimal64(9, 2)]
NUMBERS += [pa.decimal128(9, 2), pa.decimal256(40, 2), pa.decimal128(5, -2)]
TIMES = [pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ns", "Europe/Berlin")]
TYPES = [*NUMBERS, *TIMES, pa.bool_(), pa.null(), pa.string(), pa.large_string(), pa.string_view()]


@pytest.mark.parametrize("as_dictionary", [False, True])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_whatever_type_is_let_through_can_be_read_or_refused_as_data(dtype: pa.DataType, as_dictionary: bool) -> None:
    cells = pa.nulls(ROWS, dtype)
    if as_dictionary:
        cells = pa.DictionaryArray.from_arrays(pa.array([0, None] * 10, pa.int8()), pa.nulls(1, dtype))
    for name in ALL_KINDS.kinds:
        with contextlib.suppress(Refusal, DataError):
            found = ALL_KINDS.conform(table_of_stream(stream(table(**{name: cells})), ALL_KINDS))
            assert found[name].null_count == ROWS


def refused(body: bytes) -> tuple[int, str]:
    with pytest.raises(Refusal) as raised:
        table_of_stream(body, ALL_KINDS)
    return raised.value.status, raised.value.error


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        (pa.array([["a"]] * ROWS), "list<item: string>"),
        (pa.array([{"a": 1}] * ROWS), "struct<a: int64>"),
        (pa.array([1] * ROWS, pa.time32("s")), "time32[s]"),
        (pa.array([b"a"] * ROWS), "binary"),
        (pa.RunEndEncodedArray.from_arrays([ROWS], ["a"]), "run_end_encoded"),
        (pa.array([b"a"] * ROWS).dictionary_encode(), "dictionary<values=binary"),
        (
            pa.DictionaryArray.from_arrays([0] * ROWS, pa.array(["a"], pa.string_view())),
            "dictionary<values=string_view",
        ),
        (pa.UnionArray.from_sparse(pa.array([0] * ROWS, pa.int8()), [pa.array(TEXTS)]), "sparse_union"),
    ],
)
def test_a_type_that_no_feature_has_is_refused_by_name(cells: pa.Array, shown: str) -> None:
    status, said = refused(stream(table(colour=cells)))
    assert status == 422
    assert said.startswith(f"Column 'colour' is of type {shown}")


def test_a_stream_without_a_feature_says_which() -> None:
    with pytest.raises(DataError, match="no column 'colour'"):
        table_of_stream(stream(table().drop_columns("colour")), ALL_KINDS)


def test_a_feature_that_is_there_twice_is_refused() -> None:
    twice = pa.Table.from_arrays([*table().columns, table()["size"]], [*table().column_names, "size"])
    assert refused(stream(twice)) == (422, "The stream has the column 'size' twice; send it once.")


def test_no_rows_are_refused() -> None:
    assert refused(stream(table().slice(0, 0))) == (422, "There are no rows. Send at least one row.")


@pytest.mark.parametrize(
    "body",
    [b"", b"ARROW1", b'{"rows": []}', stream(table())[:-30], stream(table())[:200], stream(table(), "zstd")[:-100]],
)
def test_what_is_no_whole_stream_is_refused(body: bytes) -> None:
    status, said = refused(body)
    assert status == 400
    assert said.startswith("The body is no Arrow IPC stream: ")


def test_too_many_rows_are_refused_whatever_they_cost() -> None:
    status, said = refused(stream(pa.table({"size": pa.nulls(2_000_000)}), rows=2_000_000))
    assert status == 413
    assert said.startswith("The body has 2000000 rows")


def test_too_many_batches_are_refused() -> None:
    many = pa.concat_tables([table()] * 51)
    assert refused(stream(many, rows=1))[0] == 413


def views_of_one(text: str, count: int) -> pa.Array:
    """String views that all point to one text."""
    views = np.zeros((count, 4), np.int32)
    views[:, 0], views[:, 1] = len(text), np.frombuffer(text[:4].encode(), np.int32)
    return pa.Array.from_buffers(pa.string_view(), count, [None, pa.py_buffer(views), pa.py_buffer(text.encode())])


LONG = "x" * (MOST_DECODED // 10)
BOMBS = {
    "zeros": stream(table(more=pa.array([b"\0" * (MOST_DECODED // ROWS + 1)] * ROWS)), "zstd", ROWS),
    "dictionary": stream(table(colour=pa.DictionaryArray.from_arrays([0] * ROWS, [LONG])), "zstd"),
    "views": stream(table(colour=views_of_one(LONG, ROWS)), "zstd", ROWS),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_body_that_would_be_large_is_refused_before_it_is(name: str) -> None:
    before = pa.total_allocated_bytes()
    assert len(BOMBS[name]) < 200_000
    assert refused(BOMBS[name])[0] == 413
    assert pa.total_allocated_bytes() - before < MOST_DECODED


def mutated(body: bytearray, chance: random.Random) -> bytes:
    """A body with a few bytes, a number or a stretch of it changed."""
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        at, how = chance.randrange(len(body)), chance.random()
        if how < 0.5:
            body[at] ^= 1 << chance.randrange(8)
        elif how < 0.75:
            body[at] = chance.choice([0, 1, 127, 128, 255])
        elif how < 0.9:
            number = chance.choice([0, 1, 2**31 - 1, 2**32 - 1, chance.randrange(2**32)])
            body[at & ~3 : (at & ~3) + 4] = number.to_bytes(4, "little")
        elif how < 0.95:
            del body[max(1, at) :]
        else:
            start = chance.randrange(len(body))
            body[at:at] = body[start : start + chance.randrange(64)]
    return bytes(body)


def test_a_damaged_stream_is_refused_or_read_and_ends_nothing() -> None:
    chance = random.Random(1)
    bodies = [stream(sound, compression) for sound in SOUND.values() for compression in (None, "lz4", "zstd")]
    outcomes: Counter[str] = Counter()
    for _ in range(FUZZED):
        try:
            ALL_KINDS.conform(table_of_stream(mutated(bytearray(chance.choice(bodies)), chance), ALL_KINDS))
            outcomes["read"] += 1
        except (Refusal, DataError) as error:
            outcomes[str(getattr(error, "status", 422))] += 1
    assert outcomes["400"] > FUZZED / 2
    assert outcomes["read"] > FUZZED / 50


def test_a_union_of_nothing_is_refused_by_its_type_alone() -> None:
    """To make an array of it ends the process, in pyarrow 25."""
    union = pa.Array.from_buffers(pa.sparse_union([]), ROWS, [None, pa.py_buffer(b"\0" * ROWS)])
    status, said = refused(stream(table(sold=union), rows=ROWS))
    assert status == 422
    assert said.startswith("Column 'sold' is of type sparse_union<>")


def test_an_answer_is_a_stream_where_that_is_accepted() -> None:
    model = served(ALL_KINDS, YES_NO)
    handler = arrow_handler(model, scoring(model), POOL)
    response = ask(handler, stream(table()), Content_Type=ARROW, Accept=f"{ARROW}, application/json;q=0.5")
    found = pa.ipc.open_stream(response.body).read_all()
    assert response.headers["content-type"] == ARROW
    assert (response.headers["x-request-id"], response.headers["x-model-version"]) == ("request-1", "7")
    assert found.column_names == ["prediction", "p_no", "p_yes"]
    assert found["prediction"].to_pylist()[15:18] == ["no", "no", "yes"]
    assert found["p_yes"].to_pylist() == [i / 32 for i in range(ROWS)]


def test_an_answer_is_json_otherwise() -> None:
    model = served(TWO_NUMBERS, PRICE)
    response = ask(arrow_handler(model, scoring(model), POOL), stream(pa.table({"b": [1, 1], "a": [2, 3]})))
    assert json.loads(response.body) == {
        "predictions": [{"prediction": 2.0}, {"prediction": 3.0}],
        "model": {"name": "demo", "version": "7"},
        "request_id": "request-1",
    }


@pytest.mark.parametrize(
    ("content_type", "is_one"),
    [(ARROW, True), (f"{ARROW.upper()}; version=1", True), ("application/json", False), ("", False)],
)
def test_the_content_type_says_that_a_body_is_a_stream(content_type: str, is_one: bool) -> None:
    assert is_arrow(request_with(content_type=content_type)) is is_one
