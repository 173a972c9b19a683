"""The row matrix: one rank's prepared rows, in memory-mapped scratch space that vanishes with the process.

It knows prepared shards and the layout; it refuses to know epochs, models and ranks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from raymill.errors import MachineError
from raymill.layout import Layout

if TYPE_CHECKING:
    from raymill.prepared import Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """`numbers (rows, n) float`, `categories (rows, c) int64` and `target (rows,)`: int64 classes or float values."""

    numbers: torch.Tensor
    categories: torch.Tensor
    target: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMatrix:
    """`words (rows, layout.words) int32`: float32 numbers by their bits, category indices, then the target."""

    words: torch.Tensor
    layout: Layout
    classification: bool
    dtype: torch.dtype = torch.float32

    @classmethod
    def load(
        cls,
        prepared: Prepared,
        split: str,
        spans: Iterable[tuple[int, int]],
        dtype: torch.dtype = torch.float32,
        moved: Callable[[], None] = lambda: None,
    ) -> RowMatrix:
        """Reads the rows `[start, stop)` of each span of a split, each shard once, verified against the manifest.

        `moved` is called after each shard that is read.
        Memory: one shard as a table; the matrix itself is file-backed, so the kernel may page it out.
        Raises StoreError for a shard that doesn't verify, MachineError when the scratch disk is full.
        """
        wanted = list(spans)
        matrix = _scratch(sum(stop - start for start, stop in wanted), prepared.layout.words)
        first_row = 0
        for shard in prepared.splits[split].shards:
            overlaps = list(_overlaps(wanted, first_row, first_row + shard.rows))
            if overlaps:
                table = prepared.read(shard)
                for into, start, stop in overlaps:
                    _fill(matrix[into : into + stop - start], table.slice(start, stop - start))
                moved()
            first_row += shard.rows
        classification = prepared.task.kind == "classification"
        return cls(words=torch.from_numpy(matrix), layout=prepared.layout, classification=classification, dtype=dtype)

    def to(self, device: torch.device) -> RowMatrix:
        """The same rows in an accelerator's memory where they fit in half of what is free, else as they are."""
        if device.type != "cuda" or self.words.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
            return self
        return RowMatrix(
            words=self.words.to(device),
            layout=self.layout,
            classification=self.classification,
            dtype=self.dtype,
        )

    def __len__(self) -> int:
        return len(self.words)

    def gather(self, rows: np.ndarray, device: torch.device) -> Batch:
        """One vectorised gather of `rows (batch,) int64`."""
        index = torch.from_numpy(rows).to(self.words.device)
        return self._batch(self.words.index_select(0, index).to(device, non_blocking=True))

    def span(self, start: int, stop: int, device: torch.device) -> Batch:
        """Consecutive rows, without a copy on the CPU."""
        return self._batch(self.words[start:stop].to(device, non_blocking=True))

    def _batch(self, words: torch.Tensor) -> Batch:
        numbers = len(self.layout.numbers)
        target = words[:, -1]
        return Batch(
            numbers=words[:, :numbers].view(torch.float32).to(self.dtype),
            categories=words[:, numbers:-1].long(),
            target=target.long() if self.classification else target.view(torch.float32).to(self.dtype),
        )


def _overlaps(spans: list[tuple[int, int]], first: int, last: int) -> Iterable[tuple[int, int, int]]:
    """For each span that meets the shard `[first, last)`: matrix row to fill, and the shard's rows to take."""
    base = 0
    for start, stop in spans:
        low, high = max(start, first), min(stop, last)
        if low < high:
            yield base + low - start, low - first, high - first
        base += stop - start


def _fill(into: np.ndarray, table: pa.Table) -> None:
    for column, name in enumerate(table.column_names):
        for start, chunk in _chunks(table.column(name)):
            into[start : start + len(chunk), column] = chunk.view(np.int32)


def _chunks(column: pa.ChunkedArray) -> Iterable[tuple[int, np.ndarray]]:
    start = 0
    for chunk in column.chunks:
        cells = chunk.to_numpy(zero_copy_only=False)
        yield start, cells.astype(np.float32) if cells.dtype == np.bool_ else cells
        start += len(chunk)


def _scratch(rows: int, words: int) -> np.ndarray:
    """Zeroed int32 space on an unlinked temporary file: nothing is left behind, whatever kills the process."""
    size_bytes = rows * words * 4
    if size_bytes == 0:
        return np.zeros((rows, words), np.int32)
    try:
        with tempfile.TemporaryFile(prefix="raymill-rows-") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
            return np.memmap(file, np.int32, "r+", shape=(rows, words))
    except OSError as error:
        raise MachineError(
            f"No room for {size_bytes:,} bytes of training rows in {tempfile.gettempdir()}: {error}.",
            "Free some disk, or set TMPDIR to a larger one; then type the command again.",
        ) from error
