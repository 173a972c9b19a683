"""Texts hash as SipHash-2-4 says, whatever their lengths and neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from raymill.text_hash import hash_texts, siphash

KEY = "raymill-rowhash1"


def test_the_hash_is_that_of_the_paper() -> None:
    # Appendix A of Aumasson & Bernstein: the key 00 01 .. 0f, the message 00 01 .. 0e.
    words = np.frombuffer(bytes([*range(15), 0]), "<u8")
    # Words from the places 0 and 8 are all that it looks at.
    places = np.zeros(9, np.uint64)
    places[[0, 8]] = words
    found = siphash(places, np.array([0], np.int32), np.array([15], np.int32), bytes(range(16)).decode())
    assert found.tolist() == [0xA129CA6149BE45E5]


@pytest.mark.parametrize("longest", [0, 7, 8, 9, 40, 300, 5_000])
def test_texts_of_any_length_hash_as_pandas_hashes_them(longest: int) -> None:
    rng = np.random.default_rng(longest)
    letters = np.array(list("abcdef é漢🙂"))
    lengths = rng.integers(0, longest + 1, 300 if longest > 100 else 20_000)
    words = ["".join(rng.choice(letters, size=length)) for length in lengths]
    expected = pd.util.hash_array(np.array(words, dtype=object), hash_key=KEY, categorize=False)
    assert np.array_equal(hash_texts(pa.array(words, pa.string()), KEY), expected)
    assert np.array_equal(hash_texts(pa.array(words, pa.string()).slice(7, 100), KEY), expected[7:107])


def test_no_texts_have_no_hashes() -> None:
    assert hash_texts(pa.array([], pa.string()), KEY).tolist() == []
    assert len(hash_texts(pa.array([None, "a"], pa.string()), KEY)) == 2
