"""The evaluate job: candidate and champion score the raw test rows once each, through Ray Data and the Predictor."""

from __future__ import annotations

import hashlib
import json
import sys

from cluster.pieces import each
from raymill.baselines import read_baselines
from raymill.bundle import Bundle
from raymill.champion import find_champion
from raymill.console import Console
from raymill.courier import Courier
from raymill.errors import InternalError
from raymill.evaluation import (
    MANIFEST,
    Evaluation,
    measure_baselines,
    reasons_of,
    tally,
    values_of,
)
from raymill.gate import warnings_against
from raymill.outage import WAITS_S
from raymill.prepared import Prepared
from raymill.registry import Version
from raymill.run import Run, Trained
from raymill.scoring import Scorer, ScoreShard, require_comparable
from raymill.spec import METRICS, Spec
from raymill.store import Store


def evaluate(spec: Spec, prepared: Prepared, trained: Trained, console: Console) -> Evaluation:
    """Scores, measures and tracks a trained run, against the champion and the baselines; returns its manifest.

    Raises DataError where the champion can't score these test rows, or a column to slice by isn't in them.
    """
    champion = comparable_champion(spec, prepared)
    scorers = _scorers(trained, champion)
    uri = _place(spec, trained, scorers)
    is_champion = champion is not None and len(scorers) == 1
    evaluation = _earlier(spec, trained) if is_champion else Evaluation.open(uri)
    if evaluation is not None:
        console.say(f"evaluate  already done: {evaluation.uri}")
    else:
        _score(spec, prepared, scorers, uri, console)
        evaluation = _measure(spec, prepared, trained, champion if len(scorers) > 1 else None, uri)
        evaluation.write()
    Courier(spec, prepared, lambda text: console.say(f"evaluate  {text}")).deliver(evaluation)
    _tell(spec, evaluation, console)
    return evaluation


def comparable_champion(spec: Spec, prepared: Prepared, waits_s: float = WAITS_S) -> Version | None:
    """The champion, if there is one.

    Raises DataError where its scores of these test rows would say nothing, SpecError where its network's code has
    changed, and TrackerError.
    """
    champion = find_champion(spec, waits_s)
    if champion is not None:
        bundle = Bundle.read(champion.bundle_uri, champion.digest)
        bundle.require_same_code()
        require_comparable(bundle, champion.number, prepared)
    return champion


def _scorers(trained: Trained, champion: Version | None) -> tuple[Scorer, ...]:
    candidate = Scorer(name="candidate", uri=trained.bundle_uri, digest=trained.digest)
    if champion is None or champion.digest == trained.digest:
        return (candidate,)
    return candidate, Scorer(name="champion", uri=champion.bundle_uri, digest=champion.digest)


def _place(spec: Spec, trained: Trained, scorers: tuple[Scorer, ...]) -> str:
    """A folder that names the model, what it is compared with and what is asked of the comparison."""
    champion = scorers[1].digest[:12] if len(scorers) > 1 else "alone"
    return f"{spec.store}/evaluations/{trained.run}/{trained.digest[:12]}-{champion}-{_question(spec)}"


def _earlier(spec: Spec, trained: Trained) -> Evaluation | None:
    """A finished evaluation of this model, whatever it was compared with: a champion that was beaten stays beaten."""
    store = Store(f"{spec.store}/evaluations/{trained.run}")
    for file in store.files(recursive=True):
        folder, _, name = file.path.rpartition("/")
        if name == MANIFEST and folder.startswith(trained.digest[:12]) and folder.endswith(_question(spec)):
            return Evaluation.open(f"{store.uri}/{folder}")
    return None


def _question(spec: Spec) -> str:
    asked = json.dumps([sorted(spec.evaluate.slices), spec.gate_metric])
    return hashlib.sha256(asked.encode()).hexdigest()[:8]


def _score(spec: Spec, prepared: Prepared, scorers: tuple[Scorer, ...], uri: str, console: Console) -> None:
    pieces = [
        ScoreShard(dataset_uri=prepared.uri, shard=shard, scorers=scorers, slices=tuple(spec.evaluate.slices), into=uri)
        for shard in prepared.raw_test.shards
    ]
    rows = 0
    with console.progress("evaluate ", prepared.raw_test.rows) as bar:
        for scored in each(ScoreShard.__call__, pieces):
            rows += scored
            console.meter.worked(scored)
            bar.reach(rows, f"{rows:,} rows scored")
    if rows != prepared.raw_test.rows:
        raise InternalError(
            f"{rows} test rows were scored, and the test split has {prepared.raw_test.rows}.", "Please report this."
        )


def _measure(spec: Spec, prepared: Prepared, trained: Trained, champion: Version | None, uri: str) -> Evaluation:
    task = prepared.task
    whole, by_slice = tally(uri, "candidate", task, spec.evaluate.slices)
    measured = whole.result()
    run = Run.of(spec, prepared)
    baselines = measure_baselines(task, read_baselines(run.store, run.baselines))
    confusion = whole.confusion
    return Evaluation(
        uri=uri,
        run=trained.run,
        digest=trained.digest,
        dataset_fingerprint=prepared.fingerprint,
        rows=whole.rows,
        metrics=values_of(measured),
        reasons=reasons_of(measured),
        baselines={name: values_of(values) for name, values in baselines.items()},
        slices={column: parts.report() for column, parts in by_slice.items()},
        slices_left_out={column: parts.left_out for column, parts in by_slice.items() if parts.left_out},
        confusion=None if confusion is None else confusion.tolist(),
        champion_digest=champion.digest if champion else None,
        champion=values_of(tally(uri, "champion", task, ())[0].result()) if champion else None,
        warnings=list(warnings_against(spec.gate_metric, measured, baselines)),
    )


def _tell(spec: Spec, evaluation: Evaluation, console: Console) -> None:
    shown = spec.evaluate.metrics or [name for name in METRICS[spec.task.type] if name in evaluation.metrics]
    console.say(f"evaluate  {evaluation.rows:,} test rows scored once -> {evaluation.uri}")
    rows = {"model": evaluation.metrics, **evaluation.baselines}
    if evaluation.champion is not None:
        rows["champion"] = evaluation.champion
    console.say("          " + f"{'':18}" + "".join(f"{name:>17}" for name in shown))
    for name, metrics in rows.items():
        console.say(f"          {name:18}" + "".join(f"{_text(metrics.get(metric)):>17}" for metric in shown))
    for column, left_out in evaluation.slices_left_out.items():
        kept = len(evaluation.slices[column])
        console.say(f"          slices by {column}: the {kept} most frequent of {kept + left_out:,} values")
    for warning in evaluation.warnings:
        console.say(f"          WARNING: {warning}")


def _text(value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.4f}" if value == 0 or 1e-3 < abs(value) < 1e5 else f"{value:.4g}"


def main() -> None:
    """`python -m jobs.evaluate SPEC [key=value ...]`."""
    from cluster.cli import main as command

    sys.exit(command(["evaluate", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
