"""A table of any number of rows for the benchmarks: 10 numbers with gaps, 3 categories and a target of two classes.

It is made and written block by block, so that its maker needs little memory, and the first rows of a longer table
are those of a shorter one. Numbers have all their digits: nothing is saved by cells that repeat.

    python benchmarks/big_table.py FILE.parquet|FILE.csv [--rows 20000000]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

NUMBERS = tuple(f"x{index}" for index in range(10))
CATEGORIES = {"plan": 4, "region": 50, "shop": 3_000}
TARGET = "bought"
_BLOCK_ROWS = 1 << 17
_GAPS = 0.05
_WITHOUT_TARGET = 0.001


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=20_000_000)
    arguments = parser.parse_args()
    write(arguments.file, arguments.rows)
    print(f"{arguments.file}: {arguments.rows:,} rows, {arguments.file.stat().st_size / 1e9:.2f} GB")


def write(path: Path, rows: int) -> None:
    """Writes the first rows of the table as Parquet, or as CSV where the path says so."""
    writer = pacsv.CSVWriter if path.suffix == ".csv" else pq.ParquetWriter
    with writer(path, _block(0, 0).schema) as file:
        for block in blocks(rows):
            file.write_table(block)


def blocks(rows: int) -> Iterator[pa.Table]:
    """The table in blocks of 131,072 rows, each drawn from a stream of its own."""
    for index, start in enumerate(range(0, rows, _BLOCK_ROWS)):
        yield _block(index, min(_BLOCK_ROWS, rows - start))


def _block(index: int, rows: int) -> pa.Table:
    rng = np.random.default_rng([20, index])
    drawn = rng.normal(size=(len(NUMBERS), _BLOCK_ROWS)).cumsum(axis=0)[:, :rows]
    gaps = rng.random((len(NUMBERS), _BLOCK_ROWS))[:, :rows] < _GAPS
    columns = {name: pa.array(drawn[i], mask=gaps[i]) for i, name in enumerate(NUMBERS)}
    odds = drawn[0] - drawn[3] + 0.1 * drawn[9]
    for name, size in CATEGORIES.items():
        # Few values are frequent and many are rare, as those of most categories.
        codes = np.floor(size * rng.random(_BLOCK_ROWS)[:rows] ** 2).astype(np.int32)
        columns[name] = _texts(name, size).take(pa.array(codes))
        odds += codes % 3 - 1
    bought = odds + rng.logistic(size=_BLOCK_ROWS)[:rows] > 0
    unknown = rng.random(_BLOCK_ROWS)[:rows] < _WITHOUT_TARGET
    return pa.table(columns | {TARGET: pa.array(bought.astype(np.int64), mask=unknown)})


def _texts(name: str, size: int) -> pa.Array:
    return pa.array([f"{name}-{value:04}" for value in range(size)])


if __name__ == "__main__":
    main()
