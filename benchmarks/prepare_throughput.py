"""Rows a second of the prepare job over pandas + scikit-learn in one process, and over Ray Data's own preprocessors.

All impute, standardise and encode by what the train rows hold, and write Parquet by split. pandas + scikit-learn is
the plain way: the file of `big_table.py`, everything in memory, its own threads for reading and writing. Ray Data's
chain is that of its documentation (imputer, scaler, one-hot, and a concatenator that flattens numbers and one-hots into
the one vector of features that a training reads) on a table of 20 numbers with gaps and 5 categories of 8 values; it
has no median and no marks of gaps, so that it does less. Ours counts with all that it does besides: a split by row
hashes, statistics of every column as every kind, fingerprints, a profile, and the raw test rows.

Each starts with its imports done; Ray is up, and has prepared a small table before it is timed. The peers run in
processes of their own, Ray's chain in the session that `ray.init()` gives. They take turns, and the median of the
ratios of neighbours counts.

    python benchmarks/prepare_throughput.py [--rows 5000000] [--ray-rows 5000000] [--rounds 1] [--csv] [--json]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from big_table import CATEGORIES, NUMBERS, TARGET, write

_WARM_ROWS = 200_000
_ONE_HOT, *_INDEXED = CATEGORIES
_WIDE_NUMBERS = tuple(f"x{index}" for index in range(20))
_WIDE_CATEGORIES = tuple(f"c{index}" for index in range(5))
_PEER_WITHIN_S = 1_200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--ray-rows", type=int, default=5_000_000, help="for Ray Data's chain; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--csv", action="store_true", help="the table as CSV, not Parquet")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer", nargs=3, metavar=("NAME", "FILE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        name, table, folder = arguments.peer
        print({"pandas": _pandas_seconds, "ray": _ray_seconds}[name](Path(table), Path(folder)))
        return
    with tempfile.TemporaryDirectory(prefix="raymill-benchmark-") as scratch:
        _report(_measure(arguments, Path(scratch)), arguments)


def _measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, list[float]]:
    """Seconds of each round by name."""
    suffix = "csv" if arguments.csv else "parquet"
    warm, large, wide = scratch / f"warm.{suffix}", scratch / f"large.{suffix}", scratch / "wide.parquet"
    write(warm, _WARM_ROWS)
    write(large, arguments.rows)
    if arguments.ray_rows:
        _write_wide(wide, arguments.ray_rows)
    found: dict[str, list[float]] = {name: [] for name in ("ours", "pandas", "ours wide", "ray")}
    with _session():
        _ours(warm)
        for _ in range(arguments.rounds):
            found["pandas"].append(_peer("pandas", large))
            found["ours"].append(_ours(large))
            if arguments.ray_rows:
                found["ours wide"].append(_ours(wide))
                found["ray"].append(_peer("ray", wide))
    return found


def _report(found: dict[str, list[float]], arguments: argparse.Namespace) -> None:
    ratios = {"over_pandas_sklearn": _ratio(found["pandas"], found["ours"])}
    if found["ray"]:
        ratios["over_ray_preprocessors"] = _ratio(found["ray"], found["ours wide"])
    if arguments.json:
        sizes = {"rows": arguments.rows, "ray_rows": arguments.ray_rows}
        print(json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()} | sizes))
        return
    for name, rows in (("pandas", "rows"), ("ours", "rows"), ("ray", "ray_rows"), ("ours wide", "ray_rows")):
        if found[name]:
            count = getattr(arguments, rows)
            seconds = statistics.median(found[name])
            print(f"{name.split()[0]:8} {count:12,} rows {seconds:7.1f} s {count / seconds:12,.0f} rows/s")
    for name, ratio in ratios.items():
        print(f"{name} {ratio:.2f}")


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


@contextmanager
def _session() -> Iterator[None]:
    from cluster.session import open_session
    from raymill.console import Console

    with open_session(Console(io.StringIO()), needs_serve=False):
        yield


def _ours(table: Path) -> float:
    from jobs.prepare import prepare
    from raymill.console import Console
    from raymill.spec import Spec

    with tempfile.TemporaryDirectory(dir=table.parent) as store:
        task = {"type": "classification", "target": TARGET}
        spec = {"name": "big", "task": task, "data": {"source": str(table)}, "store": store}
        started_s = time.perf_counter()
        prepare(Spec.model_validate(spec), Console(io.StringIO()))
        return time.perf_counter() - started_s


def _peer(name: str, table: Path) -> float:
    """In a process of its own, so that its memory and its settings are its own."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    with tempfile.TemporaryDirectory(dir=table.parent) as folder:
        command = [sys.executable, __file__, "--peer", name, str(table), folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PEER_WITHIN_S, env=plain)
        return float(done.stdout.split()[-1])


def _pandas_seconds(table: Path, folder: Path) -> float:
    import numpy as np
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    indexed = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.int32)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    transform = ColumnTransformer(
        [
            ("number", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), list(NUMBERS)),
            ("missing", MissingIndicator(features="all"), list(NUMBERS)),
            ("one_hot", one_hot, [_ONE_HOT]),
            ("indexed", indexed, _INDEXED),
        ]
    ).set_output(transform="pandas")

    def store(features: pd.DataFrame, rows: pd.DataFrame, name: str) -> None:
        wide = [column for column in features if features[column].dtype in (np.float64, np.bool_)]
        narrow = features.astype(dict.fromkeys(wide, np.float32))
        narrow["__target__"] = rows[TARGET].to_numpy(np.int32)
        narrow.to_parquet(folder / f"{name}.parquet", index=False)

    started_s = time.perf_counter()
    frame = pd.read_csv(table) if table.suffix == ".csv" else pd.read_parquet(table)
    frame = frame.dropna(subset=[TARGET])
    train, rest = train_test_split(frame, test_size=0.2, random_state=0)
    validation, test = train_test_split(rest, test_size=0.5, random_state=0)
    store(transform.fit_transform(train), train, "train")
    for name, rows in (("validation", validation), ("test", test)):
        store(transform.transform(rows), rows, name)
    test.to_parquet(folder / "raw_test.parquet", index=False)
    return time.perf_counter() - started_s


def _write_wide(path: Path, rows: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(5)
    columns = {name: pa.array(rng.normal(size=rows), mask=rng.random(rows) < 0.05) for name in _WIDE_NUMBERS}
    words = pa.array([f"value-{index}" for index in range(8)])
    columns |= {name: words.take(pa.array(rng.integers(0, len(words), rows))) for name in _WIDE_CATEGORIES}
    pq.write_table(pa.table(columns | {TARGET: rng.integers(0, 2, rows)}), path)


def _ray_seconds(table: Path, folder: Path) -> float:
    """Ray's chain on this table, after fewer rows have been through."""
    import ray

    ray.init(address="local", log_to_driver=False, logging_level="ERROR")
    few = folder / "few.parquet"
    _write_wide(few, _WARM_ROWS)
    _chain(few, folder / "warm")
    started_s = time.perf_counter()
    _chain(table, folder / "timed")
    return time.perf_counter() - started_s


def _chain(table: Path, folder: Path) -> None:
    import ray.data
    from ray.data.preprocessors import Chain, Concatenator, OneHotEncoder, SimpleImputer, StandardScaler

    ray.data.DataContext.get_current().enable_progress_bars = False
    numbers, categories = list(_WIDE_NUMBERS), list(_WIDE_CATEGORIES)
    chain = Chain(
        SimpleImputer(numbers, strategy="mean"),
        StandardScaler(numbers),
        OneHotEncoder(categories),
        Concatenator(columns=numbers + categories, output_column_name="features", flatten=True),
    )
    train, test = ray.data.read_parquet(str(table)).train_test_split(0.2)
    chain.fit_transform(train).write_parquet(str(folder / "train"))
    chain.transform(test).write_parquet(str(folder / "test"))


if __name__ == "__main__":
    main()
