"""Raw BYTES are as Triton's client writes and reads them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from serving.byte_strings import joined, split

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=20)


@given(TEXTS)
def test_texts_survive_the_way_there(texts: list[str]) -> None:
    raw = serialize_byte_tensor(np.array([text.encode() for text in texts], np.object_))
    assert split(raw.item() if texts else b"", len(texts)).to_pylist() == texts


@given(TEXTS)
def test_texts_survive_the_way_back(texts: list[str]) -> None:
    found = deserialize_bytes_tensor(joined(text.encode() for text in texts))
    assert [text.decode() for text in found] == texts


@pytest.mark.parametrize(
    ("raw", "count"),
    [(b"\1\0\0\0a", 2), (b"\1\0\0\0a", 0), (b"\1\0\0\0", 1), (b"\1\0", 1), (b"\xff\xff\xff\xffa", 1), (b"", 10**9)],
)
def test_another_number_of_bytes_is_refused(raw: bytes, count: int) -> None:
    with pytest.raises(ValueError, match=f"{len(raw)} bytes are not {count} texts, each after its length in 4 bytes"):
        split(raw, count)


def test_no_utf_8_is_refused() -> None:
    with pytest.raises(ValueError, match="not a utf8 string"):
        split(b"\1\0\0\0\xff", 1)
