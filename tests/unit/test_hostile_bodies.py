"""Bodies that are meant to do harm are refused, and what is wrong with them is said without a word of Python."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.test_service import PREDICT, _ask, _service

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
    refused = [_ask(_service(), "POST", PREDICT, '{"row":{"a":%s}}' % ("[" * d + "]" * d)) for d in range(940, 1000)]
    assert {response.status_code for response, _ in refused} == {400, 422}
    assert any("nested too deeply" in answer["error"] for response, answer in refused if response.status_code == 422)


@pytest.mark.parametrize(
    ("cell", "status"),
    [("1" * 5_000, 400), ("1" * 400, 422), ("1e999", 422), ("-1e999", 422), (f"0.{'0' * 100_000}1", 200)],
)
def test_numbers_beyond_all_bounds_are_told_in_the_callers_words(cell: str, status: int) -> None:
    response, answer = _ask(_service(), "POST", PREDICT, f'{{"row":{{"a":{cell}}}}}')
    assert response.status_code == status
    assert "sys." not in str(answer)


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
