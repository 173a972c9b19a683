"""Sketches: quantiles, heavy categories and distinct counts that merge, in bounded memory, without chance.

| sketch | exact | beyond that |
|---|---|---|
| Quantiles | up to 2,048 distinct values | a rank is off by at most (pieces merged + 1) / 4,096 of the rows |
| Categories | up to 20,000 texts of 512 KiB | the 10,000 most frequent are kept, 2,048 at most of those seen once |
| Distinct | up to 2,048 distinct texts | standard error about 2.2% |

Merged in the same order, the same data give the same bytes. They know counts and values, not what a column means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymill.text_words import words_of

POINTS = 2_048
EXACT_CATEGORIES = 20_000
MANY_CELLS = 2 * EXACT_CATEGORIES
KEPT_CATEGORIES = 10_000
KEPT_SINGLES = 2_048
CATEGORY_BYTES = 1 << 19
_HASHED_BYTES = 64
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantiles:
    """Weighted points in ascending order: `values (n,) float64`, `weights (n,) int64`, n at most 2,048."""

    values: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray) -> Quantiles:
        """The sketch of finite values, each there `weights` times, in any order."""
        if np.any(values[1:] < values[:-1]):
            order = np.argsort(values)
            values, weights = values[order], weights[order]
        first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])
        if len(first) < len(values):
            values, weights = values[first], np.add.reduceat(weights, first)
        if len(values) <= POINTS:
            return cls(values=values, weights=weights.astype(np.int64))
        return cls._thinned(values, weights)

    @classmethod
    def _thinned(cls, values: np.ndarray, weights: np.ndarray) -> Quantiles:
        """One point at the middle rank of each of 2,048 equal shares of the weight."""
        reached = np.cumsum(weights)
        edges = np.linspace(0, reached[-1], POINTS + 1).astype(np.int64)
        at = np.searchsorted(reached, (edges[:-1] + edges[1:]) // 2, side="right")
        first = np.flatnonzero(np.concatenate([[True], at[1:] != at[:-1]]))
        return cls(values=values[at[first]], weights=np.add.reduceat(np.diff(edges), first))

    def merge(self, other: Quantiles) -> Quantiles:
        return Quantiles.of(np.concatenate([self.values, other.values]), np.concatenate([self.weights, other.weights]))

    def at(self, share: float) -> float:
        """The value at a share of the rows, interpolated between ranks; NaN when there are none."""
        if not len(self.values):
            return float("nan")
        reached = np.cumsum(self.weights)
        rank = share * float(reached[-1] - 1)
        low, high = self.values[np.searchsorted(reached, [np.floor(rank), np.ceil(rank)], side="right")]
        return float(low + (high - low) * (rank - np.floor(rank)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Categories:
    """How often each text occurs: `texts` in the order they were given, `counts (n,) int64`.

    `count` is exact. Once `overflowed`, a count may miss what a piece had of a text that was not among its most
    frequent (ties go to the text seen first).
    """

    texts: pa.Array
    counts: np.ndarray
    count: int
    overflowed: bool

    @classmethod
    def of(cls, texts: pa.Array, counts: np.ndarray, *, unlisted: int = 0, overflowed: bool = False) -> Categories:
        """The counts of texts, of which a few may repeat; nulls and texts with a count of 0 are left out.

        `unlisted` says how many more there are of other texts, none of them among the most frequent.
        """
        present = (counts > 0) & texts.is_valid().to_numpy(zero_copy_only=False)
        texts, counts = texts.filter(pa.array(present)), counts[present]
        count = int(counts.sum()) + unlisted
        much = len(texts) > MANY_CELLS or unlisted > 0
        if len(texts) > MANY_CELLS:
            # Grouping 500,000 texts takes longer than all else; the few variants lost here were rare ones.
            texts, counts = _heaviest(texts, counts)
        encoded = texts.dictionary_encode()
        codes = encoded.indices.to_numpy()
        grouped = np.bincount(codes, weights=counts, minlength=len(encoded.dictionary)).astype(np.int64)
        lengths = pc.binary_length(encoded.dictionary).to_numpy()
        if len(grouped) <= EXACT_CATEGORIES and lengths.sum() <= CATEGORY_BYTES:
            return cls(texts=encoded.dictionary, counts=grouped, count=count, overflowed=overflowed or much)
        texts, grouped = _heaviest(encoded.dictionary, grouped)
        return cls(texts=texts, counts=grouped, count=count, overflowed=True)

    def merge(self, other: Categories) -> Categories:
        merged = Categories.of(
            pa.concat_arrays([self.texts, other.texts]),
            np.concatenate([self.counts, other.counts]),
            overflowed=self.overflowed or other.overflowed,
        )
        return Categories(
            texts=merged.texts,
            counts=merged.counts,
            count=self.count + other.count,
            overflowed=merged.overflowed,
        )

    @property
    def constant(self) -> bool:
        return len(self.texts) == 1 and not self.overflowed

    def sorted(self) -> list[tuple[str, int]]:
        """Texts with their counts, most frequent first, then by text."""
        pairs = zip(self.texts.to_pylist(), self.counts.tolist(), strict=True)
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def most_frequent(counts: np.ndarray) -> np.ndarray:
    """The places of the 10,000 highest counts, of those of 1 the first 2,048, highest first and ties as they lie."""
    repeated = np.flatnonzero(counts > 1)
    repeated = repeated[np.argsort(-counts[repeated], kind="stable")]
    return np.concatenate([repeated, np.flatnonzero(counts == 1)[:KEPT_SINGLES]])[:KEPT_CATEGORIES]


def _heaviest(texts: pa.Array, counts: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """The most frequent texts that fit, in the order they had."""
    order = most_frequent(counts)
    lengths = pc.binary_length(texts).to_numpy()[order]
    kept = np.sort(order[np.cumsum(lengths, dtype=np.int64) <= CATEGORY_BYTES])
    return texts.take(pa.array(kept)), counts[kept]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distinct:
    """How many different texts there are, from the smallest 2,048 of their hashes (Bar-Yossef et al. 2002)."""

    hashes: np.ndarray

    @classmethod
    def of(cls, texts: pa.Array) -> Distinct:
        """The sketch of texts that may repeat; nulls are left out."""
        return cls(hashes=_smallest(_hash(texts.drop_null())))

    @classmethod
    def of_numbers(cls, values: np.ndarray) -> Distinct:
        """The sketch of numbers of 64 bits, which merges with those of numbers only."""
        return cls(hashes=_smallest(_mixed(_mixed(values.view(np.uint64), _MIX), _MIX)))

    def merge(self, other: Distinct) -> Distinct:
        return Distinct(hashes=_smallest(np.concatenate([self.hashes, other.hashes])))

    @property
    def estimate(self) -> int:
        if len(self.hashes) < POINTS:
            return len(self.hashes)
        return round((POINTS - 1) * 2.0**64 / float(self.hashes[-1]))


def _smallest(hashes: np.ndarray) -> np.ndarray:
    if len(hashes) > 8 * POINTS:
        # Of hashes that are all different, twice as many as wanted are below this; of too few all are sorted.
        candidates = _distinct(hashes[hashes < np.uint64(2**64 // len(hashes) * 2 * POINTS)])
        if len(candidates) >= POINTS:
            return candidates[:POINTS]
    return _distinct(hashes)[:POINTS]


def _distinct(hashes: np.ndarray) -> np.ndarray:
    """Each once, ascending; `np.unique` fills a hash table of them first, which takes longer than sorting."""
    hashes = np.sort(hashes)
    distinct: np.ndarray = hashes[np.concatenate([[True], hashes[1:] != hashes[:-1]])[: len(hashes)]]
    return distinct


def _hash(texts: pa.Array) -> np.ndarray:
    """A 64-bit hash of each text's length, its first 64 bytes and its last 8, eight bytes at a time."""
    words, starts, lengths = words_of(texts)
    hashes = _mixed(lengths.astype(np.uint64), _MIX)
    for at in range(0, min(int(lengths.max(initial=0)), _HASHED_BYTES), 8):
        left = np.clip(lengths - at, 0, 8)
        word = words[np.minimum(starts + at, len(words) - 1)] & _MASKS[left]
        hashes = np.where(left > 0, _mixed(hashes, word), hashes)
    long = lengths > _HASHED_BYTES
    hashes[long] = _mixed(hashes[long], words[(starts + lengths - 8)[long]])
    return hashes


_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)


def _mixed(hashes: np.ndarray, words: np.ndarray | np.uint64) -> np.ndarray:
    mixed = (hashes ^ words) * _MIX
    return mixed ^ (mixed >> np.uint64(29))
