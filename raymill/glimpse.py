"""The glimpse: a bounded first part of a table, read to say what its columns look like.

It reads the first files that make up one piece, and of a big CSV only its first bytes. It knows no target, no split
and no spec.
"""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import dataclass, replace

import numpy as np

from raymill.csv_cuts import find_cuts
from raymill.file_head import Head
from raymill.kind_statistics import BooleanStatistics, NumberStatistics, TimestampStatistics
from raymill.piece import Part, Piece, delimiter_of, is_parquet, readable
from raymill.sketch import Categories
from raymill.source import Source
from raymill.statistics import ColumnSummary, Statistics, TableSummary
from raymill.store import FileInfo

_LOOK_BYTES = 32 << 20
# The longest record that Arrow reads: so much behind the bytes wanted, a record has ended.
_RECORD_BYTES = 8 << 20
# Fewer rows are easily all different.
_FEWEST_ROWS = 20
# Above 20,000 the number of different texts is an estimate with a standard error of 2.2%.
_ALL_DIFFERENT = 0.93
_EXAMPLES = 3
_EXAMPLE_LETTERS = 24
_ID_WORD = re.compile(r"(^|[\W_])(id|uuid|guid|key|index|rownames?)$|^(id|unnamed)([\W_]|$)", re.IGNORECASE)
_ID_ENDING = re.compile(r"[a-z](Id|ID|Uuid|UUID|Key)$")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Glimpse:
    """The summary of the rows seen, and the rows of the whole table: estimated for a CSV that was not read whole."""

    summary: TableSummary
    total_rows: int

    @classmethod
    def of(cls, source: Source, look_bytes: int = _LOOK_BYTES) -> Glimpse:
        """Reads the start of a source. Raises DataError for a file that can't be read."""
        piece, share = _first_piece(source, look_bytes)
        table = piece.read()
        total_rows = round(table.num_rows / share)
        if is_parquet(source.files[0].path):
            total_rows = sum(rows for head in source.heads for rows in head.group_rows)
        return cls(summary=TableSummary.of(table, np.ones(table.num_rows, bool)), total_rows=total_rows)

    @property
    def whole(self) -> bool:
        """Whether all rows were seen."""
        return self.total_rows == self.summary.rows

    @property
    def seen(self) -> str:
        """How many rows were seen, of how many, in words."""
        if self.whole:
            return f"all {self.summary.rows:,} rows"
        return f"the first {self.summary.rows:,} of about {self.total_rows:,} rows"


def is_id_name(name: str) -> bool:
    """Whether a column is named as ids are: `id`, `customer_id`, `PassengerId`, `Unnamed: 0`."""
    return bool(_ID_WORD.search(name) or _ID_ENDING.search(name))


def is_all_different(column: ColumnSummary) -> bool:
    """Whether no two of 20 or more rows seem to hold the same, and none is empty."""
    exact = not column.categories.overflowed
    enough = column.rows if exact else _ALL_DIFFERENT * column.rows
    return column.rows >= _FEWEST_ROWS and not column.missing and column.distinct >= enough


def is_row_number(column: ColumnSummary) -> bool:
    """Whether the rows seem to be counted, from 0 or from 1."""
    numbers = column.numbers
    if numbers is None or not numbers.whole or not is_all_different(column):
        return False
    return numbers.minimum in (0, 1) and numbers.maximum == numbers.minimum + column.rows - 1


def examples(statistics: Statistics) -> str:
    """A range, or the most frequent values, in one short line."""
    match statistics:
        case NumberStatistics():
            return f"{statistics.minimum:.7g} to {statistics.maximum:.7g}"
        case TimestampStatistics():
            return f"{_time(statistics.minimum_us)} to {_time(statistics.maximum_us)}"
        case BooleanStatistics():
            return f"true in {statistics.trues / statistics.count:.1%}"
        case Categories():
            texts = [short(text) for text, _ in statistics.sorted()[:_EXAMPLES]]
            more = len(statistics.texts) - len(texts)
            return ", ".join(texts) + (f", {'over ' * statistics.overflowed}{more:,} others" if more else "")


def _time(microseconds: int) -> str:
    text = str(np.datetime_as_string(np.datetime64(microseconds, "us"), unit="s"))
    return text.removesuffix("T00:00:00").replace("T", " ")


def short(text: str) -> str:
    """A text for a line of a comment: 24 letters at most, none of them a line break."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown if len(shown) <= _EXAMPLE_LETTERS else f"{shown[: _EXAMPLE_LETTERS - 1]}…"


def _first_piece(source: Source, look_bytes: int) -> tuple[Piece, float]:
    """The first rows of a source as a piece, and the share of the source's bytes that they take."""
    filled = [(f, head) for f, head in zip(source.files, source.heads, strict=True) if any(head.group_rows)]
    ends = list(itertools.accumulate(file.size_bytes for file, _ in filled))
    first, head = filled[0]
    if ends[0] > look_bytes and first.path.lower().endswith((".csv", ".tsv")):
        part, read_bytes = _first_part(source, first, head, look_bytes)
        return Piece(name="glimpse", store=source.store, parts=(part,), schema=source.schema), read_bytes / ends[-1]
    files, heads = zip(*filled[: max(1, sum(end <= look_bytes for end in ends))], strict=True)
    piece = replace(source, files=files, heads=heads).pieces[0]
    read = {part.path for part in piece.parts}
    return piece, sum(file.size_bytes for file in files if file.path in read) / ends[-1]


def _first_part(source: Source, file: FileInfo, head: Head, look_bytes: int) -> tuple[Part, int]:
    """The start of a big CSV up to the end of a record; all of it where its quotes don't tell where that is."""
    with readable(source.store, file.path) as stream:
        start = io.BytesIO(stream.read(look_bytes + _RECORD_BYTES))
    whole = Part(path=file.path, columns=tuple(head.schema.names))
    cuts = find_cuts(start, file.size_bytes, delimiter_of(file.path), look_bytes)
    return (replace(whole, stop=cuts[0].byte), cuts[0].byte) if cuts else (whole, file.size_bytes)
