"""Prepare and train of a table larger than the memory that they may hold, and what they held.

The table of `big_table.py` is prepared, and a small network trained on it for one epoch, in one Ray session whose
object store is at most `--cap-mb`, which Ray enforces. What all processes hold is measured five times a second
(`process_tree.py`); where the heaps of driver and workers together, or the object store, ever were more than the cap,
the exit code is 1. What Ray's own processes hold besides, which is there before any row is, is told apart. Rows a
second of prepare are told by the wall and by processor time, with Ray's workers started; the smaller tables show what
their number changes.

    python benchmarks/bigger_than_memory.py [--rows 20000000] [--cap-mb 2048] [--csv] [--no-train] [--json]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from big_table import TARGET, write
from process_tree import cpu_seconds, watched

_WARM_ROWS = 1_000_000
_SMALLER_ROWS = (100_000, 1_000_000)
_BATCH_ROWS = 16_384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--cap-mb", type=int, default=2_048)
    parser.add_argument("--csv", action="store_true", help="the tables as CSV, not Parquet")
    parser.add_argument("--no-train", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ["RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES"] = str(arguments.cap_mb << 20)
    with tempfile.TemporaryDirectory(prefix="raymill-benchmark-") as scratch:
        found = _measure(arguments, Path(scratch))
    if arguments.json:
        print(json.dumps(found))
    else:
        _tell(found)
    sys.exit(any(max(step["heap_mb"], step["store_mb"]) * 1e6 > arguments.cap_mb << 20 for step in found["steps"]))


def _tell(found: dict[str, Any]) -> None:
    print(f"source {found['source_gb']:.2f} GB, cap {found['cap_mb']} MB of the object store and of heaps")
    for step in found["steps"]:
        print(
            f"{step['name']:8} {step['rows']:12,} rows {step['seconds']:7.1f} s {step['rows_per_s']:12,.0f} rows/s "
            f"{step['rows_per_cpu_s']:10,.0f} rows/CPU s   heaps {step['heap_mb']:6,.0f} MB, "
            f"largest {step['largest_mb']:5,.0f} MB, Ray's own {step['ray_heap_mb']:5,.0f} MB, "
            f"object store {step['store_mb']:5,.0f} MB, files {step['files_mb']:6,.0f} MB"
        )


def _measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    from cluster.session import open_session
    from raymill.console import Console

    steps: list[dict[str, Any]] = []
    with open_session(Console(io.StringIO()), needs_serve=False):
        for rows in (_WARM_ROWS, *(size for size in _SMALLER_ROWS if size < arguments.rows), arguments.rows):
            table = scratch / f"{rows}.{'csv' if arguments.csv else 'parquet'}"
            write(table, rows)
            with _store(scratch, keep=rows == arguments.rows) as store:
                spec = _spec(table, store)
                prepared = _step(steps, "prepare", rows, lambda spec=spec: _prepare(spec))
                if rows == arguments.rows and not arguments.no_train:
                    _step(steps, "train", rows, lambda spec=spec, made=prepared: _train(spec, made))
    size_gb = (scratch / table.name).stat().st_size / 1e9
    return {"source_gb": round(size_gb, 2), "cap_mb": arguments.cap_mb, "steps": steps[1:]}


def _step(steps: list[dict[str, Any]], name: str, rows: int, work: Callable[[], Any]) -> Any:
    started_s, before_s = time.perf_counter(), cpu_seconds()
    with watched() as peak:
        result = work()
    seconds, cpu_s = time.perf_counter() - started_s, cpu_seconds() - before_s
    steps.append(
        {
            "name": name,
            "rows": rows,
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu_s, 2),
            "rows_per_s": round(rows / seconds),
            "rows_per_cpu_s": round(rows / cpu_s),
            "heap_mb": round(peak.heap / 1e6),
            "ray_heap_mb": round(peak.ray_heap / 1e6),
            "store_mb": round(peak.store / 1e6),
            "largest_mb": round(peak.largest / 1e6),
            "files_mb": round(peak.files / 1e6),
        }
    )
    return result


@contextmanager
def _store(scratch: Path, *, keep: bool) -> Iterator[Path]:
    """A folder for one size's results, gone with the block unless it is the last."""
    if keep:
        yield scratch / "store"
        return
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield Path(folder)


def _spec(table: Path, store: Path) -> Any:
    from raymill.spec import Spec

    return Spec.model_validate(
        {
            "name": "big",
            "task": {"type": "classification", "target": TARGET},
            "data": {"source": str(table)},
            "model": {"type": "mlp", "hidden": [64, 64]},
            "train": {"epochs": 1, "batch_size": _BATCH_ROWS},
            "store": str(store),
            "tracking": f"sqlite:///{store}/mlflow.db",
        }
    )


def _prepare(spec: Any) -> Any:
    from jobs.prepare import prepare
    from raymill.console import Console

    return prepare(spec, Console(io.StringIO()))


def _train(spec: Any, prepared: Any) -> Any:
    from jobs.train import train
    from raymill.console import Console

    return train(spec, prepared, Console())


if __name__ == "__main__":
    main()
