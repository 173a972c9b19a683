"""The hash that pandas has for texts, of many at once: SipHash-2-4 (Aumasson & Bernstein 2012) of the UTF-8 bytes,
its bits then spread by the finaliser of splitmix64.

pandas computes it for Python's own strings, one after the other, and does so here for long ones.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raymill.text_words import words_of

# Texts hashed at a time, so that what is computed between stays in the processor's cache; those longer go to pandas.
_BLOCK_TEXTS = 8_192
_MOST_BYTES = 256
_MASKS = np.array([(1 << (8 * size)) - 1 for size in range(8)], dtype=np.uint64)
_START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def hash_texts(texts: pa.Array, key: str) -> np.ndarray:
    """A hash of each text `(n,) uint64`; `key` has 16 bytes, and what is given for a null means nothing."""
    words, starts, lengths = words_of(texts)
    hashes = np.empty(len(texts), np.uint64)
    for start in range(0, len(texts), _BLOCK_TEXTS):
        block = slice(start, start + _BLOCK_TEXTS)
        hashes[block] = spread(siphash(words, starts[block], lengths[block], key))
    long = np.flatnonzero(lengths > _MOST_BYTES)
    if len(long):
        import pandas as pd

        some = texts.take(pa.array(long)).to_numpy(zero_copy_only=False)
        hashes[long] = pd.util.hash_array(some, hash_key=key, categorize=False)
    return hashes


def siphash(words: np.ndarray, starts: np.ndarray, lengths: np.ndarray, key: str) -> np.ndarray:
    """SipHash-2-4 of texts by where they start in `words`, as `words_of` gives them."""
    # The longest first, so that those still going on are always the first ones.
    whole = np.minimum(lengths, _MOST_BYTES) >> 3
    order = np.argsort(-whole, kind="stable")
    starts, whole, lengths = starts[order], whole[order], lengths[order]
    first, second = np.frombuffer(key.encode(), "<u8")
    state = [np.full(len(order), np.uint64(c) ^ k) for c, k in zip(_START, (first, second) * 2, strict=True)]
    spare = np.empty(len(order), np.uint64)
    left = np.searchsorted(-whole, -np.arange(whole[0] if len(whole) else 0))
    for step, count in enumerate(left):
        _take(words[starts[:count] + 8 * step], [part[:count] for part in state], spare[:count])
    last = words[starts + 8 * whole] & _MASKS[lengths & 7]
    _take(last | (lengths.astype(np.uint64) << np.uint64(56)), state, spare)
    state[2] ^= np.uint64(0xFF)
    for _ in range(4):
        _round(state, spare)
    hashes = np.empty(len(order), np.uint64)
    hashes[order] = state[0] ^ state[1] ^ state[2] ^ state[3]
    return hashes


def spread(hashes: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele et al. 2014): a bijection whose every output bit depends on all inputs."""
    spread: np.ndarray = hashes ^ (hashes >> np.uint64(30))
    spread *= np.uint64(0xBF58476D1CE4E5B9)
    spread ^= spread >> np.uint64(27)
    spread *= np.uint64(0x94D049BB133111EB)
    spread ^= spread >> np.uint64(31)
    return spread


def _take(word: np.ndarray, state: list[np.ndarray], spare: np.ndarray) -> None:
    state[3] ^= word
    _round(state, spare)
    _round(state, spare)
    state[0] ^= word


def _round(state: list[np.ndarray], spare: np.ndarray) -> None:
    a, b, c, d = state
    a += b
    c += d
    _turn(b, 13, spare)
    _turn(d, 16, spare)
    b ^= a
    d ^= c
    _turn(a, 32, spare)
    c += b
    a += d
    _turn(b, 17, spare)
    _turn(d, 21, spare)
    b ^= c
    d ^= a
    _turn(c, 32, spare)


def _turn(values: np.ndarray, bits: int, spare: np.ndarray) -> None:
    """Rotates to the left, in place."""
    np.left_shift(values, np.uint64(bits), out=spare)
    np.right_shift(values, np.uint64(64 - bits), out=values)
    np.bitwise_or(values, spare, out=values)
