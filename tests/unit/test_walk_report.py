"""What a walk reports of its model, by which an endpoint elsewhere can be made of it."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

from jobs.promote import Promotion
from jobs.run import Walk
from raymill.console import Console
from raymill.gate import Keep
from raymill.registry import Version
from tests.recipes import spec_of

CANDIDATE = Version(name="fake", number=4, bundle_uri="s3://ml/new", digest="n" * 64, run_id="r4")
CHAMPION = Version(name="fake", number=3, bundle_uri="s3://ml/old", digest="o" * 64, run_id="r3")


def report(champion: Version | None) -> dict[str, Any]:
    """Of a walk up to its gate, which has kept who was champion."""
    walked = Walk(spec=spec_of(), console=Console(io.StringIO()))
    walked.trained = SimpleNamespace(  # type: ignore[assignment]
        run="fake-1", run_id="r4", bundle_uri=CANDIDATE.bundle_uri, digest=CANDIDATE.digest, validation={}
    )
    walked.promotion = Promotion(version=CANDIDATE, decision=Keep(reason="no better"), champion=champion)
    walked.elapsed_s = {"train": 1.0, "promote": 1.0}
    return walked.report()


def test_the_candidate_is_the_model_and_the_champion_is_told_apart() -> None:
    found = report(CHAMPION)
    assert found["model"] == {"name": "fake", "version": 4, "uri": "s3://ml/new", "digest": "n" * 64}
    assert found["champion"] == {
        "name": "fake",
        "number": 3,
        "bundle_uri": "s3://ml/old",
        "digest": "o" * 64,
        "run_id": "r3",
    }


def test_no_champion_is_none() -> None:
    assert report(None)["champion"] is None
