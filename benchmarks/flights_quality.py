"""The network of a flights spec beside a gradient boosted tree that sees the raw columns: test ROC-AUC of both.

Limit: the network may lose to the tree by 0.01 at most, and must reach 0.70.

Method: `raymill run SPEC --no-serve --json` trains, or finds trained, the network and measures it on the test split.
The tree is scikit-learn's HistGradientBoostingClassifier with its defaults and a fixed seed. It shares nothing with
raymill but the rows: it reads the bundled table with pandas, keeps the columns that the spec keeps, and takes train
and test from the cut times frozen in the prepared dataset's manifest. Text columns of at most 255 train values are
native categories, longer ones and times are numbers in their order; what train never had is missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raymill.bundled import PREFIX, materialise
from raymill.prepared import Prepared
from raymill.spec import Spec, Threshold
from raymill.spec_text import load_spec
from raymill.store import Store

_SPEC = Path(__file__).parents[1] / "examples" / "flights.yaml"
_MOST_CATEGORIES = 255
_SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", nargs="?", default=str(_SPEC), help="default: examples/flights.yaml")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="for example train.seed=1")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    spec = load_spec(arguments.spec, arguments.overrides)
    report = walk([arguments.spec, *arguments.overrides])
    network = report["metrics"]["test"]["roc_auc"]
    tree = tree_roc_auc(spec, Prepared.open(report["dataset"]["uri"]))
    figures = {"network_roc_auc": network, "tree_roc_auc": tree, "difference": network - tree}
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:16} {value:+.4f}")
    print("required: network at least 0.70, difference at least -0.01")


def walk(arguments: list[str]) -> dict[str, Any]:
    """What `raymill run --no-serve` reports of a spec."""
    command = [str(Path(sys.executable).with_name("raymill")), "run", *arguments, "--no-serve", "--json"]
    finished = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    report: dict[str, Any] = json.loads(finished.stdout)
    return report


def tree_roc_auc(spec: Spec, prepared: Prepared) -> float:
    """The tree's ROC-AUC on the raw rows of the test split."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    assert isinstance(spec.task.target, Threshold)
    flights = pd.read_parquet(materialise(spec.data.source.removeprefix(PREFIX), Store(spec.store)))
    flights = flights[flights[spec.task.column].notna()]
    late = (flights[spec.task.column] >= spec.task.target.at_least).to_numpy()
    train, test = _split(flights, prepared)
    grid, categories = _grid(flights, [column.name for column in prepared.schema.columns], train)
    tree = HistGradientBoostingClassifier(categorical_features=categories, random_state=_SEED)
    tree.fit(grid[train], late[train])
    return float(roc_auc_score(late[test], tree.predict_proba(grid[test])[:, 1]))


def _split(flights: pd.DataFrame, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the train and test rows: up to the first cut time, and after the second."""
    times, cuts = flights[prepared.split["column"]], prepared.split["cuts"]
    train = (times <= pd.Timestamp(cuts["train_end"])).to_numpy()
    test = (times > pd.Timestamp(cuts["validation_end"])).to_numpy()
    found = {"train": int(train.sum()), "test": int(test.sum())}
    written = {name: prepared.splits[name].rows for name in found}
    if found != written:
        raise SystemExit(f"The cut times give {found} rows, but the prepared dataset has {written}.")
    return train, test


def _grid(flights: pd.DataFrame, names: list[str], train: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The columns as `(rows, columns) float64`, and which of them are categories."""
    columns, categories = [], []
    for place, name in enumerate(names):
        column = flights[name]
        if pd.api.types.is_numeric_dtype(column):
            columns.append(column.to_numpy(np.float64, na_value=np.nan))
        elif pd.api.types.is_datetime64_any_dtype(column):
            columns.append(column.astype("int64").to_numpy(np.float64))
        else:
            codes = pd.Index(sorted(column[train].dropna().unique())).get_indexer(column)
            columns.append(np.where(codes < 0, np.nan, codes))
            if codes.max() < _MOST_CATEGORIES:
                categories.append(place)
    return np.stack(columns, axis=1), categories


if __name__ == "__main__":
    main()
