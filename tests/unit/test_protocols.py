"""Whichever way a table comes in, the answer is the Predictor's."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.http import InferenceServerClient, InferInput

from raymill.predictor import Predictor
from serving.arrow_body import ARROW
from serving.arrow_predict import arrow_handler
from serving.model import Model
from serving.v2 import infer_handler
from serving.version import Version
from tests.mixed_bundles import MODELS, write
from tests.served import POOL, ask, scoring


@pytest.fixture(scope="module", params=["many", "regression"])
def predictor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    folder: Path = tmp_path_factory.mktemp("bundle")
    written = write(folder / "bundle", MODELS[1], request.param)
    yield Predictor.load(written.uri, written.digest)


NUMBERS = st.floats(-1e6, 1e6) | st.none()
TEXTS = st.sampled_from(["red", "green", "blue", "", "größer", "never seen"]) | st.none()
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "size": NUMBERS,
            "weight": NUMBERS,
            "colour": TEXTS,
            "town": st.integers(0, 60).map("town {}".format) | st.none(),
            "sold": st.booleans() | st.none(),
            "at": st.datetimes().map(str) | st.none(),
        }
    ),
    min_size=1,
    max_size=12,
)
PATIENT = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
DATATYPES = {"size": "FP64", "weight": "FP64", "sold": "BOOL"}


def by_rest(model: Model, rows: list[dict[str, Any]]) -> np.ndarray:
    version = Version("demo", "7", model, 256, POOL)
    predictions = json.loads(version.answer(asyncio.run(version.score(rows)), "i"))["predictions"]
    if not model.predictor.task.classes:
        return np.array([each["prediction"] for each in predictions])
    return np.array([list(each["probabilities"].values()) for each in predictions])


def by_v2(model: Model, rows: list[dict[str, Any]], *, binary: bool) -> np.ndarray:
    """By Triton's client: binary where it has no null to send, which it can't but in JSON."""
    inputs = [_tensor(name, [row[name] for row in rows], binary) for name in model.predictor.schema.kinds]
    body, length = InferenceServerClient.generate_request_body(inputs)
    headers = {} if length is None else {"Inference_Header_Content_Length": str(length)}
    response = ask(infer_handler("demo", model, scoring(model), POOL), body, **headers)
    result = InferenceServerClient.parse_response_body(
        response.body, header_length=int(response.headers["inference-header-content-length"])
    )
    scores = result.as_numpy("probabilities" if model.predictor.task.classes else "prediction")
    return np.asarray(scores)


def _tensor(name: str, cells: list[Any], binary: bool) -> InferInput:
    made = InferInput(name, [len(cells)], DATATYPES.get(name, "BYTES"))
    if not binary:
        made._data = cells
    elif name in ("size", "weight"):
        made.set_data_from_numpy(np.array(cells, np.float64))
    else:
        texts = ["" if cell is None else str(cell) for cell in cells]
        made._datatype = "BYTES"
        made.set_data_from_numpy(np.array(texts, np.object_))
    return made


def by_arrow(model: Model, table: pa.Table, compression: str | None) -> pa.Table:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=5)
    handler = arrow_handler(model, scoring(model), POOL)
    response = ask(handler, sink.getvalue(), Content_Type=ARROW, Accept=ARROW)
    return pa.ipc.open_stream(response.body).read_all()


def raw(rows: list[dict[str, Any]]) -> pa.Table:
    types = {"size": pa.float64(), "weight": pa.float64(), "sold": pa.bool_()}
    return pa.table({name: pa.array([row[name] for row in rows], types.get(name, pa.string())) for name in rows[0]})


@PATIENT
@given(rows=ROWS)
def test_rest_and_v2_answer_as_the_predictor_does(predictor: Predictor, rows: list[dict[str, Any]]) -> None:
    model = Model(predictor=predictor, lineage={})
    expected = predictor.predict(raw(rows))
    np.testing.assert_array_equal(by_rest(model, rows), expected)
    np.testing.assert_array_equal(by_v2(model, rows, binary=False), expected)
    np.testing.assert_array_equal(by_v2(model, rows, binary=True), expected)


@PATIENT
@given(rows=ROWS, compression=st.sampled_from([None, "lz4", "zstd"]), dictionaries=st.booleans())
def test_an_arrow_stream_is_answered_as_the_predictor_does(
    predictor: Predictor, rows: list[dict[str, Any]], compression: str | None, dictionaries: bool
) -> None:
    model, table = Model(predictor=predictor, lineage={}), raw(rows)
    if dictionaries:
        at = table.column_names.index("colour")
        table = table.set_column(at, "colour", table["colour"].dictionary_encode())
    answer = by_arrow(model, table.append_column("more", pa.array([[1]] * len(rows))), compression)
    expected = predictor.predict(table)
    scores = answer.drop_columns("prediction") if predictor.task.classes else answer
    found = np.stack([column.to_numpy() for column in scores.columns], axis=1)
    np.testing.assert_array_equal(found, expected if predictor.task.classes else expected[:, None])
    if predictor.task.classes:
        labels = [predictor.task.classes[index] for index in expected.argmax(axis=1)]
        assert answer["prediction"].to_pylist() == labels
        assert scores.column_names == [f"p_{label}" for label in predictor.task.classes]
