"""A cursor: stretches of one Parquet row group's rows, one after the other, from a single decoding of it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

# Read ahead per column, and decoded at a time.
_BUFFER_BYTES = 1 << 20
_BATCH_ROWS = 32_768


class Cursor:
    """Moves forwards only, and holds no more than a stretch: rows before it are decoded and dropped."""

    def __init__(self, stream: pa.NativeFile, group: int, columns: list[str]) -> None:
        file = pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES)
        self._batches = file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns)
        self._left: pa.RecordBatch | None = None
        self._at = 0

    def rows(self, start: int, stop: int) -> pa.Table:
        """The group's rows `[start, stop)`, or those of them that the file has and no stretch before reached."""
        kept = []
        while self._at < stop and (batch := self._left or next(self._batches, None)):
            step = min(len(batch), (start if self._at < start else stop) - self._at)
            if self._at >= start:
                kept.append(batch[:step])
            self._left = batch[step:]
            self._at += step
        return pa.Table.from_batches(kept)
