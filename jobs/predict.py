"""The predict job: a table of any size is scored by the champion, through Ray Data and the Predictor, to Parquet."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

from cluster.meters import metered
from cluster.pieces import each, limited
from raymill.bundle import Bundle
from raymill.champion import find_champion
from raymill.console import Console
from raymill.errors import DataError
from raymill.lease import Lease
from raymill.piece import Piece
from raymill.predictions import Predicted, Predictions, require_apart, require_free_names, with_answers
from raymill.predictor import Predictor
from raymill.registry import Version
from raymill.source import Source
from raymill.spec import Spec
from raymill.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictPiece:
    """One piece of the input, to be scored by one bundle into one Parquet file."""

    piece: Piece
    bundle_uri: str
    digest: str
    key: tuple[str, ...]
    into: str

    def __call__(self) -> int:
        """Scores the piece and writes it, unless that is done; returns its rows. Repeating it is harmless."""
        store, path = Store(self.into), _path(self.piece)
        if store.exists(path):
            return store.rows_of(path)
        predictor = _predictor(self.bundle_uri, self.digest)
        with self.piece.naming():
            table = self.piece.read()
            kept = table.select(list(self.key)) if self.key else table
            scored = with_answers(kept, predictor, table)
        store.write_table(path, scored)
        rows: int = table.num_rows
        return rows


def predict(spec: Spec, input: str, output: str, console: Console) -> Predicted:
    """Scores every row of `input` once with the champion and writes `output`, a folder of Parquet, manifest last.

    Each row keeps the spec's `data.key` columns, or all its columns where the spec names no key, as they are read: of a
    CSV file as texts, since no other type holds every id and every cell of a later piece. It gains
    `prediction` and for classes `p_<class>`. A half-finished output of the same input, champion and key is continued.
    Raises DataError for an input that doesn't fit the schema, and for an output that holds anything else.
    """
    champion = _champion(spec)
    source = Source.open(_uri(input), Store(spec.store))
    _require_key(spec, source)
    with metered(console, spec=spec.name, command="predict"), limited(spec.limits.cpus):
        return score(source, champion, spec.data.key, Store(_uri(output)), console)


def score(source: Source, version: Version, key: tuple[str, ...], output: Store, console: Console) -> Predicted:
    """Scores every row of a source once with a registered version."""
    require_apart(source, output)
    predictions = Predictions(store=output, source=source.fingerprint, digest=version.digest, key=key)
    done = predictions.found()
    if done is None:
        bundle = Bundle.read(version.bundle_uri, version.digest)
        bundle.schema.require(source.columns)
        require_free_names(bundle.task, key or source.columns)
        with predictions.lease() as held:
            done = predictions.found()  # another process may have finished them since
            if done is None:
                return _fill(predictions, source, version, held, console)
    console.say(f"predict   already done: {output.uri}")
    return done


def _fill(predictions: Predictions, source: Source, version: Version, held: Lease, console: Console) -> Predicted:
    """Scores what isn't scored yet, for as long as the lease is held."""
    output = predictions.store
    predictions.start([_path(piece) for piece in source.pieces])
    rows = _score(source, version, predictions.key, output, held, console)
    predicted = Predicted(uri=output.uri, rows=rows, version=version.number)
    predictions.finish(predicted)
    console.say(f"predict   {rows:,} rows scored by version {version.number} of {version.name} -> {output.uri}")
    return predicted


def _score(source: Source, version: Version, key: tuple[str, ...], output: Store, held: Lease, console: Console) -> int:
    pieces = [
        PredictPiece(piece=piece, bundle_uri=version.bundle_uri, digest=version.digest, key=key, into=output.uri)
        for piece in source.pieces
    ]
    rows = 0
    with console.progress("predict  ", len(pieces)) as bar:
        for done, scored in enumerate(each(PredictPiece.__call__, pieces), start=1):
            held.require()
            rows += scored
            console.meter.worked(scored)
            bar.reach(done, f"{rows:,} rows")
    return rows


def _champion(spec: Spec) -> Version:
    champion = find_champion(spec, waits_s=0.0)
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


def _path(piece: Piece) -> str:
    return f"{piece.name}.parquet"


def _uri(path: str) -> str:
    return path if ":" in path else str(Path(path).absolute())


@functools.lru_cache(maxsize=1)
def _predictor(uri: str, digest: str) -> Predictor:
    return Predictor.load(uri, digest)


def main() -> None:
    """`python -m jobs.predict SPEC --input PATH --output PATH [key=value ...]`."""
    from cluster.cli import main as command

    sys.exit(command(["predict", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
