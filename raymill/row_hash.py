"""Row hashes: 64 bits from a row's cells, the same on any machine, in any piece and beside any other rows.

Column names take no part, the order of columns does, and a column of a type that no feature can have (a list,
bytes) takes none. Numbers are hashed by value (1, 1.0 and 1.00 agree, as do 0.0 and -0.0, null and NaN), so that a
file with numbers of another type, which changes the type of all, moves no row; texts by their UTF-8 bytes. A decimal
of more digits than an integer of 64 bits or a float has is hashed by its digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymill.cells import coded, codes_of, is_coded, is_supported, texts
from raymill.text_hash import hash_texts, spread

_TEXT_KEY = "raymill-rowhash1"
_MISSING = np.uint64(0x6D697373696E6721)
_START = np.uint64(0x243F6A8885A308D3)
_INTEGER_LIMIT = 2.0**63
# So many digits come back from a float64 as they were.
_DIGITS_OF_FLOATS = 15
_INTEGER = r"^-?\d{1,19}$"
_LARGEST_INTEGER = str(2**63 - 1)
# Rows hashed at a time: what is computed between stays in the processor's cache.
_BLOCK_ROWS = 16_384


def hash_rows(columns: Iterable[pa.ChunkedArray | pa.Array], rows: int) -> np.ndarray:
    """One hash per row `(rows,) uint64` of its cells in the order of the columns."""
    hashes = np.full(rows, _START)
    for cells in map(coded, columns):
        if is_coded(cells.type) or is_supported(cells.type):
            hashed = _hasher(cells)
            for start in range(0, rows, _BLOCK_ROWS):
                rows_there = slice(start, start + _BLOCK_ROWS)
                hashes[rows_there] = mix(hashes[rows_there] ^ hashed(rows_there))
    return hashes


def mix(values: np.ndarray) -> np.ndarray:
    """The next number of splitmix64 (Steele et al. 2014) after each: a bijection, and 0 is not left as it is."""
    return spread(values + np.uint64(0x9E3779B97F4A7C15))


def uniform(hashes: np.ndarray, seed: int) -> np.ndarray:
    """Hashes as numbers evenly spread over [0, 1), `(rows,) float64`, dealt anew by each seed."""
    salt = mix(np.array([seed], dtype=np.uint64))
    return (mix(hashes ^ salt) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _hasher(cells: pa.Array) -> Callable[[slice], np.ndarray]:
    """What gives the hashes of some rows' cells: Arrow's calls cost least at once, NumPy's in blocks."""
    if is_coded(cells.type):
        of_texts = np.append(_hash_texts(cells.dictionary), _MISSING)
        codes = codes_of(cells)
        return lambda rows: of_texts[codes[rows]]
    if pa.types.is_string(cells.type) or pa.types.is_null(cells.type):
        return _hash_texts(cells.cast(pa.string())).__getitem__
    if pa.types.is_decimal(cells.type):
        return _hash_decimals(cells).__getitem__
    if pa.types.is_floating(cells.type):
        floats = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return lambda rows: _hash_floats(floats[rows])
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        cells = cells.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    missing = cells.is_null().to_numpy(zero_copy_only=False)
    integers = cells.cast(pa.int64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
    return lambda rows: np.where(missing[rows], _MISSING, mix(integers[rows]))


def _hash_texts(cells: pa.Array) -> np.ndarray:
    missing = cells.is_null().to_numpy(zero_copy_only=False)
    hashes: np.ndarray = np.where(missing, _MISSING, hash_texts(cells, _TEXT_KEY))
    return hashes


def _hash_decimals(cells: pa.Array) -> np.ndarray:
    """As the nearest float64 where its shortest text has the same digits, else as an integer, or by the digits."""
    # By way of text, since Arrow's own cast often misses the nearest.
    floats = cells.cast(pa.string()).cast(pa.float64())
    hashes = _hash_floats(floats.fill_null(np.nan).to_numpy(zero_copy_only=False))
    if cells.type.precision <= _DIGITS_OF_FLOATS:
        return hashes
    words = texts(cells)
    longer = np.flatnonzero(pc.not_equal(words, texts(floats)).fill_null(False).to_numpy(zero_copy_only=False))
    if len(longer):
        hashes[longer] = _hash_digits(words.take(pa.array(longer)))
    return hashes


def _hash_digits(words: pa.Array) -> np.ndarray:
    padded = pc.utf8_lpad(pc.utf8_ltrim(words, "-"), len(_LARGEST_INTEGER), "0")
    fits = pc.and_(pc.match_substring_regex(words, pattern=_INTEGER), pc.less_equal(padded, _LARGEST_INTEGER))
    integers = pc.if_else(fits, words, "0").cast(pa.int64()).to_numpy()
    hashes: np.ndarray = np.where(
        fits.to_numpy(zero_copy_only=False), mix(integers.view(np.uint64)), hash_texts(words, _TEXT_KEY)
    )
    return hashes


def _hash_floats(values: np.ndarray) -> np.ndarray:
    bits = values.view(np.uint64)
    whole = (np.floor(values) == values) & (np.abs(values) < _INTEGER_LIMIT)
    if whole.any():
        bits = np.where(whole, np.where(whole, values, 0.0).astype(np.int64).view(np.uint64), bits)
    hashes = mix(bits)
    np.copyto(hashes, _MISSING, where=np.isnan(values))
    return hashes
