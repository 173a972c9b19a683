"""The run job: the whole walk, from a table to an endpoint, each step skipped where its result is there already."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from cluster.endpoint import Endpoint
from cluster.front import Front
from cluster.meters import metered
from cluster.pieces import limited
from cluster.preflight import asks_of
from cluster.session import check_resources
from jobs.deploy import deploy
from jobs.evaluate import comparable_champion, evaluate
from jobs.prepare import prepare
from jobs.promote import Promotion, promote
from jobs.train import train
from raymill.console import Console
from raymill.courier import require_tracker
from raymill.errors import TrackerError
from raymill.evaluation import Evaluation
from raymill.models import require_importable
from raymill.prepared import Prepared
from raymill.run import Run, Trained
from raymill.spec import Spec

STEPS = ("prepare", "train", "evaluate", "promote", "deploy")


@dataclass(slots=True, kw_only=True)
class Walk:
    """One walk of one spec: each step takes what the steps before it left, and leaves its own."""

    spec: Spec
    console: Console
    prepared: Prepared = field(init=False)
    trained: Trained = field(init=False)
    evaluation: Evaluation = field(init=False)
    promotion: Promotion = field(init=False)
    front: Front | None = None
    endpoint: Endpoint | None = None
    elapsed_s: dict[str, float] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """The name of the run that its steps work on; none before its rows are prepared."""
        return Run.of(self.spec, self.prepared).name if "prepare" in self.elapsed_s else ""

    def prepare(self) -> None:
        self.prepared = prepare(self.spec, self.console)

    def train(self) -> None:
        with suppress(TrackerError):  # asked to refuse it now and not after hours; evaluate asks again, and waits
            comparable_champion(self.spec, self.prepared, waits_s=0.0)
        self.console.note("run", Run.of(self.spec, self.prepared).name)
        self.trained = train(self.spec, self.prepared, self.console)

    def evaluate(self) -> None:
        self.evaluation = evaluate(self.spec, self.prepared, self.trained, self.console)

    def promote(self) -> None:
        self.promotion = promote(self.spec, self.prepared, self.trained, self.evaluation, self.console)

    def deploy(self) -> None:
        if self.promotion.champion is not None:
            self.endpoint = deploy(self.spec, self.console, self.front, self.promotion.champion)

    def report(self) -> dict[str, Any]:
        """The walk as one JSON object; a step that was not taken leaves its part out."""
        taken = self.elapsed_s
        parts: dict[str, Any] = {}
        if "prepare" in taken:
            rows = {name: split.rows for name, split in self.prepared.splits.items()}
            parts["dataset"] = {"uri": self.prepared.uri, "fingerprint": self.prepared.fingerprint, "rows": rows}
        if "train" in taken:
            parts |= {"run": self.trained.run, "run_id": self.trained.run_id}
            trained = {"uri": self.trained.bundle_uri, "digest": self.trained.digest}
            parts["model"] = {"name": self.spec.name, "version": None} | trained
            parts["metrics"] = {"validation": self.trained.validation}
        if "evaluate" in taken:
            parts["metrics"] |= {"test": self.evaluation.metrics}
            parts["baselines"] = self.evaluation.baselines
        if "promote" in taken:
            parts["run_id"] = self.promotion.version.run_id
            parts["model"] |= {"version": self.promotion.version.number}
            parts["gate"] = self.promotion.to_json()
            champion = self.promotion.champion
            parts["champion"] = None if champion is None else asdict(champion)
        if "deploy" in taken:
            parts["endpoint"] = self.endpoint.url if self.endpoint else None
        return parts | {"elapsed_s": {name: round(seconds, 3) for name, seconds in taken.items()}}


def walk(spec: Spec, last: str, console: Console) -> Walk:
    """Takes the steps up to `last`, one of STEPS, and times them."""
    _preflight(spec, last, console)
    walked = Walk(spec=spec, console=console)
    if last == "deploy":
        walked.front = Front.start(spec.serve)
    for step in STEPS[: STEPS.index(last) + 1]:
        started_s = time.monotonic()
        with metered(console, spec=spec.name, command=step, run=walked.run), limited(spec.limits.cpus):
            getattr(walked, step)()
        walked.elapsed_s[step] = time.monotonic() - started_s
    return walked


def _preflight(spec: Spec, last: str, console: Console) -> None:
    """Refuses now what would fail after hours: a network that can't be imported, a tracker or GPU that isn't there."""
    if STEPS.index(last) >= STEPS.index("train"):
        require_tracker(spec, console.say)
        require_importable(spec.model)
    for ask in asks_of(spec, last):
        check_resources(ask.cpus, ask.gpus, ask.count, ask.what)


def main() -> None:
    """`python -m jobs.run SPEC [key=value ...]`."""
    from cluster.cli import main as command

    sys.exit(command(["run", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
