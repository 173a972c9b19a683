"""Bodies that are meant to do harm are refused, and what is wrong with them is said without a word of Python."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from serving import body
from serving.refusal import Refusal
from tests.unit.test_service import PREDICT, _ask, _service
from tests.unit.test_v2 import column, infer, json_request

PLACES = ["%s", '{"row":%s}', '{"rows":[%s]}', '{"row":{"a":%s}}', '{"row":{"color":%s}}', '{"x":%s}', '{"rows":%s}']
NESTED = {"arrays": ("[", "]"), "objects": ('{"a":', "}"), "both": ('[{"a":', "}]")}


@pytest.mark.parametrize("kind", NESTED)
@pytest.mark.parametrize("place", PLACES)
def test_no_depth_is_our_fault(kind: str, place: str) -> None:
    opening, closing = NESTED[kind]
    service = _service()
    for depth in (*range(300, 340), *range(480, 510), *range(940, 1010), 200_000):
        response, answer = _ask(service, "POST", PREDICT, place % f"{opening * depth}1{closing * depth}")
        assert response.status_code in (400, 422), (depth, answer)
        assert len(response.body) < 2_000


def test_a_depth_that_can_just_be_read_can_also_be_told() -> None:
    depths = range(150, 250)
    answers = [_ask(_service(), "POST", PREDICT, '{"row":{"a":%s}}' % ("[" * d + "]" * d)) for d in depths]
    assert [response.status_code for response, _ in answers] == sorted(
        (response.status_code for response, _ in answers), reverse=True
    )
    told = {response.status_code: answer["error"] for response, answer in answers}
    assert told.keys() == {400, 422} and told[400] == "The body is nested too deeply."
    assert f"found {'[' * 80}..." in told[422]


@pytest.mark.parametrize(
    ("cell", "status"),
    [("1" * 5_000, 400), ("1" * 400, 422), ("1e999", 422), ("-1e999", 422), (f"0.{'0' * 100_000}1", 200)],
)
def test_numbers_beyond_all_bounds_are_told_in_the_callers_words(cell: str, status: int) -> None:
    response, answer = _ask(_service(), "POST", PREDICT, f'{{"row":{{"a":{cell}}}}}')
    assert response.status_code == status
    assert "sys." not in str(answer)


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "GZIP"])
def test_a_coded_body_is_refused_with_what_is_taken(coding: str) -> None:
    response, answer = _ask(_service(), "POST", PREDICT, b"\x1f\x8b", content_encoding=coding)
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "identity")
    assert "Content-Encoding" in answer["error"]
    assert _ask(_service(), "POST", PREDICT, {"row": {}}, content_encoding="Identity")[0].status_code == 200


def test_lengths_of_thousands_of_digits_are_lengths_beyond_the_limit() -> None:
    assert _ask(_service(), "POST", PREDICT, {"row": {}}, content_length="9" * 5_000)[0].status_code == 413
    with pytest.raises(Refusal, match="inference-header-content-length is '99999999999999999999'"):
        infer(json_request(column("a", [1])), Inference_Header_Content_Length="9" * 5_000)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [100_000, 10**4_299]},
        {"shape": [10**4_299, 1]},
        {"parameters": {"binary_data_size": 10**4_299}},
    ],
)
def test_sizes_beyond_all_bounds_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Refusal) as refused:
        infer(json_request(*[column("a", [1], **changes)] * 10))
    assert refused.value.status == 400 and len(refused.value.error) < 200


def test_what_is_wrong_with_megabytes_is_told_without_reading_them_again() -> None:
    """Of processor time: each took seconds, or a minute."""
    name, many = "k" * (8 << 20), "9" * 4_000 + ","
    bodies = [f'{{"row":{{"{name}":1}}}}', f'{{"row":{{"a":[{many * 2_000}1]}}}}']
    began_s = time.process_time()
    assert {_ask(_service(), "POST", PREDICT, each)[0].status_code for each in bodies} == {422}
    with pytest.raises(Refusal, match="no feature"):
        infer(json_request(column(name, [1]), column("a", [1])))
    assert time.process_time() - began_s < 1


def test_a_key_that_is_twice_in_megabytes_is_refused_unnamed() -> None:
    text = json.dumps({"row": {"color": "\\" * (body._MOST_READ_SLOWLY // 2)}})
    assert _ask(_service(), "POST", PREDICT, text)[0].status_code == 200
    response, answer = _ask(_service(), "POST", PREDICT, text.replace('"row"', '"row": {}, "row"'))
    assert response.status_code == 422 and "a key twice" in answer["error"]
    assert "line 1, column" in _ask(_service(), "POST", PREDICT, text[:-1])[1]["error"]


SCAN = """
import json, threading
def scan():
    for depth in (1_000, 10_000, 1_000_000):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            try:
                json.loads(f"{opening * depth}1{closing * depth}", object_pairs_hook=dict)
            except RecursionError:
                pass
scan()
thread = threading.Thread(target=scan)
thread.start()
thread.join()
"""


def test_the_scanner_of_this_python_raises_and_never_takes_the_process_with_it() -> None:
    assert subprocess.run([sys.executable, "-c", SCAN], check=False, capture_output=True).returncode == 0
