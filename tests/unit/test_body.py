"""A body's JSON is read fast where that is sure to be the same, and slowly where it might not be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import body
from serving.body import json_of
from serving.refusal import Refusal

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**18, 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.sampled_from(['"', "\\", '\\"', "é", "\n", "\ud800", "1e400"]),
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
SCARS = st.sampled_from(list(b'"\\{}[],:0159eE+-. \t\n\x00\x0c\x80\xff'))


def _outcome(text: bytes, read: Any) -> str:
    """What it reads, types and all, or how it refuses that."""
    try:
        return repr(read(text))
    except Refusal as refusal:
        return str(vars(refusal))


@given(value=VALUES, ascii_only=st.booleans(), at=st.lists(st.tuples(st.integers(0), SCARS), max_size=3))
def test_either_way_says_the_same_of_any_body(value: Any, ascii_only: bool, at: list[tuple[int, int]]) -> None:
    text = bytearray(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))
    for index, scar in at:
        text[index % len(text)] = scar
    assert _outcome(bytes(text), json_of) == _outcome(bytes(text), body._slow_json_of)


@pytest.mark.parametrize(
    "text",
    [
        b'{"row":{"a":1,"b":"x","c":"\\"y"}}',
        b'{"rows":[{"a":1},{"a":2}]}',
        b'{"inputs":[{"name":"a","data":["x","y"]}]}',
    ],
)
def test_what_nearly_every_body_holds_is_read_fast(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "_slow_json_of", pytest.fail)
    assert json_of(text) == json.loads(text)


@pytest.mark.parametrize("text", [b'{"a":1,"a":2}', b'{"a":{"b":"x","b":"x"}}', b'[{"a\\"":1,"a\\"":1}]'])
def test_a_key_that_is_there_twice_is_refused(text: bytes) -> None:
    with pytest.raises(Refusal, match="twice"):
        json_of(text)
