"""The promote job: the candidate is registered, the gate decides, and the alias says who is champion."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

from raymill.baselines import read_baselines
from raymill.bundle import Bundle
from raymill.champion import find_champion
from raymill.console import Console
from raymill.courier import Courier
from raymill.evaluation import Evaluation, all_scores
from raymill.gate import Keep, Promote, decide
from raymill.lease import lease, patient
from raymill.prepared import Prepared
from raymill.registry import Registry, Version
from raymill.run import Run, Trained
from raymill.spec import Spec
from raymill.store import Store
from raymill.time_cuts import ends_later

_SPLIT_RULE = ("by", "column", "key", "seed", "shares")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """The candidate's version, the gate's decision, and who is champion now, if anyone."""

    version: Version
    decision: Promote | Keep
    champion: Version | None

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self.decision).items() if value is not None}


def promote(spec: Spec, prepared: Prepared, trained: Trained, evaluation: Evaluation, console: Console) -> Promotion:
    """Registers the candidate and acts on the gate's decision. The same candidate is registered once.

    One at a time of a name and store, since who is champion must be the same before and after the decision. Raises
    TrackerError where MLflow has been away for too long; typed again, the command goes on from what is there.
    """
    courier = Courier(spec, prepared, lambda text: console.say(f"promote   {text}"))
    run_id = courier.run_id()
    courier.deliver(evaluation)
    wait = patient(lambda text: console.say(f"promote   waiting: {text}"))
    with lease(Store(spec.store), f"promotions/{spec.name}.json", f"The champion of {spec.name}", when_busy=wait):
        promotion = _promote(spec, prepared, trained, evaluation, run_id)
    console.say(f"promote   {promotion.decision.decision}: {promotion.decision.reason}")
    champion = _named(promotion.champion)
    console.say(f"          version {promotion.version.number} -> models:/{spec.name}@candidate; champion: {champion}")
    return promotion


def _promote(spec: Spec, prepared: Prepared, trained: Trained, evaluation: Evaluation, run_id: str) -> Promotion:
    assert spec.tracking is not None
    registry, run = Registry(spec.tracking), Run.of(spec, prepared)
    with run.bundle(trained.steps).as_folder() as folder:
        version = registry.register(
            spec.name,
            folder,
            bundle_uri=trained.bundle_uri,
            digest=trained.digest,
            run_id=run_id,
            description=f"run {trained.run}",
        )
    registry.set_alias(spec.name, "candidate", version.number)
    champion = find_champion(spec)
    decision = _decide(spec, prepared, run, trained, evaluation, champion)
    if isinstance(decision, Promote):
        registry.set_alias(spec.name, "champion", version.number)
        champion = version
    return Promotion(version=version, decision=decision, champion=champion)


def _decide(
    spec: Spec, prepared: Prepared, run: Run, trained: Trained, evaluation: Evaluation, champion: Version | None
) -> Promote | Keep:
    if champion is not None and champion.digest == trained.digest:
        return Promote(reason="already the champion", gain=None)
    if evaluation.champion_digest != (champion.digest if champion else None):
        return Keep(reason="the champion has changed since the evaluation; the same command compares with the new one")
    decision = _judge(spec, prepared, run, evaluation)
    if champion is None or not (differences := _split_differences(prepared, champion)):
        return decision
    doubt = f"the champion was trained on another split ({differences}) and may have seen these test rows"
    return replace(decision, reason=f"{decision.reason}; {doubt}")


def _judge(spec: Spec, prepared: Prepared, run: Run, evaluation: Evaluation) -> Promote | Keep:
    gate = spec.evaluate.gate
    target, candidate = all_scores(evaluation.uri, "candidate")
    return decide(
        metric=spec.gate_metric,
        task=prepared.task,
        target=target,
        candidate=candidate,
        champion=all_scores(evaluation.uri, "champion")[1] if evaluation.champion_digest else None,
        baselines={name: scores for name, (_, scores) in read_baselines(run.store, run.baselines).items()},
        min_gain=gate.min_gain,
        must_beat=gate.must_beat,
    )


def _split_differences(prepared: Prepared, champion: Version) -> str:
    """What the champion's split was fitted by and this one isn't.

    A split by time moves its cuts forward as rows come; only a test split that begins earlier has rows in it that the
    champion was trained on.
    """
    theirs = Bundle.read(champion.bundle_uri, champion.digest).lineage["split"]
    ours = prepared.split
    found = [
        f"{key} {theirs.get(key)} instead of {ours.get(key)}" for key in _SPLIT_RULE if theirs.get(key) != ours.get(key)
    ]
    if not found and ours["cuts"] is not None and ends_later(theirs["cuts"], ours["cuts"]):
        found = [f"its validation rows end at {theirs['cuts']['validation_end']}, ours earlier"]
    return ", ".join(found)


def _named(version: Version | None) -> str:
    return "none" if version is None else f"version {version.number}"


def main() -> None:
    """`python -m jobs.promote SPEC [key=value ...]`."""
    from cluster.cli import main as command

    sys.exit(command(["promote", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
