"""Rows a second of the prepare job over pandas + scikit-learn in one process, and over Ray Data's own preprocessors.

All read the same file of `big_table.py`, drop the rows without a target, split, impute, standardise and encode by
what the train rows hold, and write Parquet by split. pandas + scikit-learn is the plain way: everything in memory, its
own threads for reading and writing. Ray Data's chain is that of its documentation, which has no median and no marks of
gaps, so that it does less; it gets fewer rows, because it takes so long. Ours counts with all that it does besides: a
split by row hashes, statistics of every column as every kind, fingerprints, a profile, and the raw test rows.

Each starts with its imports done; Ray is up, and has prepared a small table before it is timed. They take turns, and
the median of the ratios of neighbours counts.

    python benchmarks/prepare_throughput.py [--rows 5000000] [--ray-rows 500000] [--rounds 1] [--csv] [--json]
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from big_table import CATEGORIES, NUMBERS, TARGET, write

_WARM_ROWS = 20_000
_ONE_HOT, *_INDEXED = CATEGORIES
_PEER_WITHIN_S = 1_200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--ray-rows", type=int, default=500_000, help="for Ray Data's preprocessors; 0 leaves them out")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--csv", action="store_true", help="the table as CSV, not Parquet")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pandas", nargs=2, metavar=("FILE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pandas:
        print(_pandas_seconds(*map(Path, arguments.pandas)))
        return
    with tempfile.TemporaryDirectory(prefix="raymill-benchmark-") as scratch:
        _report(_measure(arguments, Path(scratch)), arguments)


def _measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, list[float]]:
    """Seconds of each round by name."""
    suffix = "csv" if arguments.csv else "parquet"
    sizes = {size: scratch / f"{size}.{suffix}" for size in {_WARM_ROWS, arguments.rows, arguments.ray_rows} if size}
    for size, path in sizes.items():
        write(path, size)
    large, small = sizes[arguments.rows], sizes.get(arguments.ray_rows)
    found: dict[str, list[float]] = {name: [] for name in ("ours", "pandas", "ours small", "ray")}
    with _session():
        _ours(sizes[_WARM_ROWS])
        for _ in range(arguments.rounds):
            found["pandas"].append(_pandas(large))
            found["ours"].append(_ours(large))
        if small is not None:
            _ray(sizes[_WARM_ROWS])
            for _ in range(arguments.rounds):
                found["ours small"].append(_ours(small))
                found["ray"].append(_ray(small))
    return found


def _report(found: dict[str, list[float]], arguments: argparse.Namespace) -> None:
    ratios = {"over_pandas_sklearn": _ratio(found["pandas"], found["ours"])}
    if found["ray"]:
        ratios["over_ray_preprocessors"] = _ratio(found["ray"], found["ours small"])
    if arguments.json:
        sizes = {"rows": arguments.rows, "ray_rows": arguments.ray_rows}
        print(json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()} | sizes))
        return
    for name, rows in (("pandas", "rows"), ("ours", "rows"), ("ray", "ray_rows"), ("ours small", "ray_rows")):
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


def _pandas(table: Path) -> float:
    """In a process of its own, so that its memory is its own."""
    with tempfile.TemporaryDirectory(dir=table.parent) as folder:
        command = [sys.executable, __file__, "--pandas", str(table), folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PEER_WITHIN_S)
        return float(done.stdout)


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


def _ray(table: Path) -> float:
    import ray.data
    from ray.data.preprocessors import Chain, OneHotEncoder, OrdinalEncoder, SimpleImputer, StandardScaler

    numbers = list(NUMBERS)
    chain = Chain(
        SimpleImputer(numbers, strategy="mean"),
        StandardScaler(numbers),
        OneHotEncoder([_ONE_HOT]),
        OrdinalEncoder(_INDEXED),
    )
    with tempfile.TemporaryDirectory(dir=table.parent) as folder:
        started_s = time.perf_counter()
        read = ray.data.read_csv if table.suffix == ".csv" else ray.data.read_parquet
        rows = read(str(table)).map_batches(lambda frame: frame.dropna(subset=[TARGET]), batch_format="pandas")
        train, validation, test = rows.split_proportionately([0.8, 0.1])
        parts = {"train": chain.fit_transform(train)}
        parts |= {"validation": chain.transform(validation), "test": chain.transform(test), "raw_test": test}
        for name, part in parts.items():
            part.write_parquet(f"{folder}/{name}")
        return time.perf_counter() - started_s


if __name__ == "__main__":
    main()
