"""Which rows make global step k of epoch e: a pure function of (seed, epoch, step) and the number of rows.

The rows of a split are cut into `min(64, rows)` near-equal contiguous lanes. Within a lane, windows of 8,192 rows
and then the rows inside a window are permuted; a global batch takes its rows from the lanes in turn, starting
each round at another place of a ring of lanes that is shuffled per epoch. A rank serves the lanes with
`lane % world_size == rank`: with another world size the lanes move, the batches don't. The idea of a fixed number
of lanes is MosaicML Streaming's `num_canonical_nodes`; keys come from Philox, whose raw stream NumPy guarantees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

LANES = 64
_ROW_BITS = 13
_BLOCK_ROUNDS = 4_096
_WINDOW_SHIFT = 45
_ROW_MASK = np.uint64((1 << _ROW_BITS) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochOrder:
    """One rank's rows of an epoch: `rows (n,)` of its row matrix; step k is `rows[starts[k]:starts[k + 1]]`.

    They are int32, half the memory, unless there are 2**31 rows or more.
    """

    rows: np.ndarray
    starts: np.ndarray

    def step(self, step: int) -> np.ndarray:
        """The step's rows, `(n,) int64`."""
        return self.rows[self.starts[step] : self.starts[step + 1]].astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The order of a split of `rows` rows for one rank of a world."""

    rows: int
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1

    @property
    def lanes(self) -> int:
        return min(LANES, self.rows)

    @property
    def steps(self) -> int:
        """Global steps in one epoch; the last may be smaller than `batch_size`."""
        return -(-self.rows // self.batch_size)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The `[start, stop)` rows of the split that this rank holds, in the order of its row matrix."""
        size, longer = divmod(self.rows, self.lanes) if self.rows else (0, 0)
        starts = [lane * size + min(lane, longer) for lane in range(self.lanes + 1)]
        return tuple((starts[lane], starts[lane + 1]) for lane in self._own_lanes)

    @property
    def _own_lanes(self) -> range:
        return range(self.rank, self.lanes, self.world_size)

    def batch_rows(self, step: int) -> int:
        """Rows in global step `step`, over all ranks together."""
        return min(self.batch_size, self.rows - step * self.batch_size)

    def epoch(self, epoch: int) -> EpochOrder:
        """This rank's share of an epoch; cost about one sort of its rows, memory about 8 bytes for each of them."""
        permuted = self._permuted(epoch)
        rows = np.empty(sum(stop - start for start, stop in self.spans), permuted.dtype)
        cuts = np.minimum(np.arange(self.steps + 1) * self.batch_size, self.rows)
        starts = np.full(self.steps + 1, len(rows))
        first = taken = 0
        for lane in self._lanes_of_positions(epoch):
            last = first + len(lane)
            position = np.arange(first, last)
            if self.world_size > 1:
                mine = lane % self.world_size == self.rank
                lane, position = lane[mine], position[mine]
            rows[taken : taken + len(lane)] = permuted[position // self.lanes, lane // self.world_size]
            here = slice(*np.searchsorted(cuts, [first, last]))
            starts[here] = taken + np.searchsorted(position, cuts[here])
            first, taken = last, taken + len(lane)
        return EpochOrder(rows=rows, starts=starts)

    def _lanes_of_positions(self, epoch: int) -> Iterator[np.ndarray]:
        """The lane that each position of the epoch draws from, `(n,) uint8`, in blocks of consecutive positions."""
        if not self.rows:
            return
        rounds, longer = divmod(self.rows, self.lanes)
        keys = self._stream(epoch, LANES).random_raw(self.lanes)
        ring = np.argsort(keys, kind="stable").astype(np.uint8)
        offsets = self._stream(epoch, LANES + 1).random_raw(rounds) % np.uint64(self.lanes)
        twice = np.concatenate([ring, ring])
        for start in range(0, rounds, _BLOCK_ROUNDS):
            slots = offsets[start : start + _BLOCK_ROUNDS].astype(np.int64)[:, None] + np.arange(self.lanes)
            yield twice[slots].reshape(-1)
        yield ring[ring < longer]

    def _permuted(self, epoch: int) -> np.ndarray:
        """`(longest lane, own lanes)` matrix-row numbers: column j is the permutation of own lane j."""
        spans = self.spans
        dtype = np.int32 if self.rows < 2**31 else np.int64
        table = np.zeros((max((b - a for a, b in spans), default=0), max(len(spans), 1)), dtype)
        base = 0
        for column, (lane, (start, stop)) in enumerate(zip(self._own_lanes, spans, strict=True)):
            count = stop - start
            table[:count, column] = base + _permutation(count, self._stream(epoch, lane))
            base += count
        return table

    def _stream(self, epoch: int, lane: int) -> np.random.Philox:
        return np.random.Philox(key=np.array([self.seed, epoch << 8 | lane], np.uint64))


def _permutation(count: int, stream: np.random.Philox) -> np.ndarray:
    """Windows permuted, then rows inside each: one sort of keys `window rank | random | row in window`."""
    row = np.arange(count, dtype=np.uint64)
    windows = (count >> _ROW_BITS) + 1
    window_keys = stream.random_raw(windows)
    order = np.argsort(window_keys, kind="stable").astype(np.uint64)
    rank = np.empty(windows, np.uint64)
    rank[order] = np.arange(windows, dtype=np.uint64)
    random = stream.random_raw(count) >> np.uint64(32)
    keys = rank[row >> np.uint64(_ROW_BITS)] << np.uint64(_WINDOW_SHIFT)
    keys |= random << np.uint64(_ROW_BITS)
    keys |= row & _ROW_MASK
    keys.sort()
    window = order[keys >> np.uint64(_WINDOW_SHIFT)]
    permuted: np.ndarray = (window << np.uint64(_ROW_BITS) | keys & _ROW_MASK).astype(np.int64)
    return permuted
