"""A cursor: stretches of one Parquet row group's rows, one after the other, from a single decoding of it.

Texts that a file holds by a dictionary are read as codes, a fifth of the work of writing out each.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# Read ahead per column, and decoded at a time.
_BUFFER_BYTES = 1 << 20
_BATCH_ROWS = 32_768
_CODE_BYTES = 3


def open_coded(stream: pa.NativeFile, groups: range, **options: Any) -> pq.ParquetFile:
    """A Parquet file of which texts that repeat in all of some row groups are read as codes."""
    metadata = pq.read_metadata(stream)
    # Those inside of lists, whose paths are longer, Arrow can't read so.
    texts = {field.name for field in metadata.schema.to_arrow_schema() if pa.types.is_string(field.type)}
    paths = {index: metadata.schema.column(index).path for index in range(metadata.num_columns)}
    repeating = [
        path
        for index, path in paths.items()
        if path in texts and all(_repeats(metadata.row_group(group).column(index)) for group in groups)
    ]
    return pq.ParquetFile(stream, metadata=metadata, read_dictionary=repeating, **options)


def _repeats(chunk: pq.ColumnChunkMetaData) -> bool:
    """Whether texts are there by a dictionary alone: written out, each has four bytes for its length."""
    return bool(chunk.total_uncompressed_size < _CODE_BYTES * chunk.num_values)


class Cursor:
    """Moves forwards only, and holds no more than a stretch: rows before it are decoded and dropped."""

    def __init__(self, stream: pa.NativeFile, group: int, columns: list[str]) -> None:
        file = open_coded(stream, range(group, group + 1), buffer_size=_BUFFER_BYTES)
        self._batches = file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns)
        self._left: pa.RecordBatch | None = None
        self._at = 0

    def rows(self, start: int, stop: int) -> pa.Table:
        """The group's rows `[start, stop)`, or those of them that the file has and no stretch before reached."""
        kept = []
        while self._at < stop and (batch := self._left or next(self._batches, None)) is not None:
            step = min(len(batch), (start if self._at < start else stop) - self._at)
            if self._at >= start:
                kept.append(batch[:step])
            self._left = batch[step:]
            self._at += step
        return pa.Table.from_batches(kept)
