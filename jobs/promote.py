"""The promote job: the candidate is registered, the gate decides, and the alias says who is champion."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any

from raymill.baselines import read_baselines
from raymill.console import Console
from raymill.evaluation import Evaluation, all_scores
from raymill.gate import Keep, Promote, decide
from raymill.prepared import Prepared
from raymill.registry import Registry, Version
from raymill.run import Run, Trained
from raymill.spec import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """The candidate's version, the gate's decision, and who is champion now, if anyone."""

    version: Version
    decision: Promote | Keep
    champion: Version | None

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self.decision).items() if value is not None}


def promote(spec: Spec, prepared: Prepared, trained: Trained, evaluation: Evaluation, console: Console) -> Promotion:
    """Registers the candidate and acts on the gate's decision. The same candidate is registered once."""
    assert spec.tracking is not None
    registry = Registry(spec.tracking)
    run = Run.of(spec, prepared)
    with run.bundle(trained.steps).as_folder() as folder:
        version = registry.register(
            spec.name,
            folder,
            bundle_uri=trained.bundle_uri,
            digest=trained.digest,
            run_id=trained.run_id,
            description=f"run {trained.run}",
        )
    champion = registry.alias(spec.name, "champion")
    if champion is not None and champion.digest == trained.digest:
        console.say(f"promote   version {version.number} of {spec.name} is the champion already")
        decision: Promote | Keep = Promote(reason="this candidate is the champion already", gain=0.0)
        return Promotion(version=version, decision=decision, champion=champion)
    registry.set_alias(spec.name, "candidate", version.number)
    decision = _decide(spec, prepared, run, evaluation)
    if isinstance(decision, Promote):
        registry.set_alias(spec.name, "champion", version.number)
        champion = version
    console.say(f"promote   {decision.decision}: {decision.reason}")
    console.say(f"          version {version.number} -> models:/{spec.name}@candidate; champion: {_named(champion)}")
    return Promotion(version=version, decision=decision, champion=champion)


def _decide(spec: Spec, prepared: Prepared, run: Run, evaluation: Evaluation) -> Promote | Keep:
    task, gate = prepared.task, spec.evaluate.gate
    target, candidate = all_scores(evaluation.uri, "candidate")
    champion = all_scores(evaluation.uri, "champion")[1] if evaluation.champion_digest else None
    baselines = {name: scores for name, (_, scores) in read_baselines(run.store, run.baselines).items()}
    return decide(
        metric=spec.gate_metric,
        task=task,
        target=target,
        candidate=candidate,
        champion=champion,
        baselines=baselines,
        min_gain=gate.min_gain,
        must_beat=gate.must_beat,
    )


def _named(version: Version | None) -> str:
    return "none" if version is None else f"version {version.number}"


def main() -> None:
    """`python -m jobs.promote SPEC [key=value ...]`."""
    from cluster.cli import main as command

    sys.exit(command(["promote", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
