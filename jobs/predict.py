"""The predict job: a table of any size is scored by the champion, through Ray Data and the Predictor, to Parquet."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from cluster.pieces import each
from raymill.console import Console
from raymill.errors import DataError
from raymill.piece import Piece
from raymill.predictor import Predictor, labels_of
from raymill.registry import Registry, Version
from raymill.source import Source
from raymill.spec import Spec
from raymill.store import Store

MANIFEST = "_manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictPiece:
    """One piece of the input, to be scored by one bundle into one Parquet file."""

    piece: Piece
    bundle_uri: str
    digest: str
    key: tuple[str, ...]
    into: str

    def __call__(self) -> int:
        """Scores the piece and writes it; returns its rows. Repeating it is harmless."""
        table = self.piece.read()
        predictor = _predictor(self.bundle_uri, self.digest)
        kept = table.select(list(self.key)) if self.key else table
        scored = with_predictions(kept, predictor, table)
        Store(self.into).write_table(f"{self.piece.name}.parquet", scored)
        return table.num_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A finished batch prediction."""

    uri: str
    rows: int
    version: int


def predict(spec: Spec, input: str, output: str, console: Console) -> Predicted:
    """Scores every row of `input` once with the champion and writes `output`, a folder of Parquet, manifest last.

    Each row keeps the spec's `data.key` columns, or all its columns where the spec names no key, and gains
    `prediction` and for classes `p_<class>`. Raises DataError for an input that doesn't fit the schema.
    """
    champion = _champion(spec)
    source = Source.open(_uri(input), Store(spec.store))
    _require_key(spec, source)
    store = Store(_uri(output))
    if _is_done(store, source, champion, console):
        return Predicted(**store.read_json(MANIFEST)["predicted"])
    pieces = [
        PredictPiece(
            piece=piece, bundle_uri=champion.bundle_uri, digest=champion.digest, key=spec.data.key, into=store.uri
        )
        for piece in source.pieces
    ]
    rows = 0
    with console.progress("predict  ", len(pieces)) as bar:
        for done, scored in enumerate(each(PredictPiece.__call__, pieces), start=1):
            rows += scored
            bar.reach(done, f"{rows:,} rows")
    predicted = Predicted(uri=store.uri, rows=rows, version=champion.number)
    document = {"source": source.fingerprint, "digest": champion.digest, "predicted": _fields(predicted)}
    store.write_json(MANIFEST, document)
    console.say(f"predict   {rows:,} rows scored by version {champion.number} of {spec.name} -> {store.uri}")
    return predicted


def with_predictions(kept: pa.Table, predictor: Predictor, rows: pa.Table) -> pa.Table:
    """`kept` with the columns `prediction` and, for classes, `p_<class>`."""
    scores = predictor.predict(rows)
    columns = {"prediction": pa.array(labels_of(predictor.task, scores))}
    for index, label in enumerate(predictor.task.classes):
        columns[f"p_{label}"] = pa.array(scores[:, index])
    for name, column in columns.items():
        if name in kept.column_names:
            kept = kept.drop_columns([name])
        kept = kept.append_column(name, column)
    return kept


def _champion(spec: Spec) -> Version:
    assert spec.tracking is not None
    champion = Registry(spec.tracking).alias(spec.name, "champion")
    if champion is None:
        raise DataError(f"{spec.name} has no champion yet.", "Type `raymill run SPEC`, or train, evaluate and promote.")
    return champion


def _require_key(spec: Spec, source: Source) -> None:
    absent = [name for name in spec.data.key if name not in source.columns]
    if absent:
        raise DataError(
            f"The input has no key column {absent[0]!r}; it has {', '.join(source.columns)}.",
            "Add it, or change data.key.",
        )


def _is_done(store: Store, source: Source, champion: Version, console: Console) -> bool:
    if store.exists(MANIFEST):
        found = store.read_json(MANIFEST)
        if (found["source"], found["digest"]) == (source.fingerprint, champion.digest):
            console.say(f"predict   already done: {store.uri}")
            return True
        raise DataError(
            f"{store.uri} holds predictions of another input or model.", "Name another --output, or delete it."
        )
    strangers = [file.path for file in store.files() if not file.path.endswith(".parquet")]
    if strangers:
        raise DataError(f"{store.uri} holds other files ({strangers[0]}).", "Name an --output of its own.")
    return False


def _uri(path: str) -> str:
    return path if ":" in path else str(Path(path).absolute())


def _fields(predicted: Predicted) -> dict[str, Any]:
    return {"uri": predicted.uri, "rows": predicted.rows, "version": predicted.version}


@functools.lru_cache(maxsize=1)
def _predictor(uri: str, digest: str) -> Predictor:
    return Predictor.load(uri, digest)


def main() -> None:
    """`python -m jobs.predict SPEC --input PATH --output PATH [key=value ...]`."""
    from cluster.cli import main as command

    sys.exit(command(["predict", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
