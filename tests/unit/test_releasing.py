"""A release's beginning and end, as the store and the registry show them; replicas are not needed to decide it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.endpoint_arguments import ServedModel
from cluster.releasing import Served, Standing, begin_release, follow, promote, roll_back
from raymill.console import Console
from raymill.errors import DataError, ResourceError, TrackerError
from raymill.judge import Hold, Promote
from raymill.registry import Version
from raymill.release import Candidate, Release, change, find_release, now, settle
from raymill.release_report import ReleaseReport
from raymill.spec import Spec
from raymill.store import Store

SERVED = Served(version="2", url="http://far", bundle_uri="s3://a", digest="a" * 64)
CHAMPION = ServedModel(version="3", bundle_uri="s3://b", digest="d" * 64, run_id="r")


class FakeRegistry:
    """Who is champion, by number; away as long as it is told so."""

    champion = 3
    away = False

    def __init__(self, uri: str) -> None:
        pass

    def alias(self, name: str, alias: str) -> Version:
        assert alias == "champion"
        return Version(name=name, number=self.champion, bundle_uri="s3://b", digest="d" * 64, run_id=None)

    def set_alias(self, name: str, alias: str, number: int) -> None:
        if self.away:
            raise TrackerError("MLflow is away.", "Wait.")
        type(self).champion = number


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> type[FakeRegistry]:
    class Own(FakeRegistry):
        pass

    monkeypatch.setattr("cluster.releasing.Registry", Own)
    monkeypatch.setattr("cluster.releasing.ReleaseReport.gather", lambda *_: ReleaseReport(replicas=1))
    return Own


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    fields: dict[str, Any] = {"name": "far", "task": {"type": "regression", "target": "y"}, "data": {"source": "t.csv"}}
    return Spec.model_validate(fields | {"store": str(tmp_path), "tracking": "http://mlflow:5000"})


@pytest.fixture
def console() -> Console:
    return Console(io.StringIO())


def test_what_is_served_already_is_not_released(spec: Spec, console: Console, registry: type[FakeRegistry]) -> None:
    for champion in (None, ServedModel(version="2", bundle_uri="s3://b", digest="e" * 64)):
        with pytest.raises(DataError, match="There is nothing to release: the champion of far is version 2"):
            begin_release(spec, SERVED, champion, console, share=0.1, shadow=False)
    assert find_release(Store(spec.store), "far") is None


def test_the_same_champion_again_moves_the_share(spec: Spec, console: Console, registry: type[FakeRegistry]) -> None:
    first = begin_release(spec, SERVED, CHAMPION, console, share=0.1, shadow=False)
    second = begin_release(spec, SERVED, CHAMPION, console, share=0.5, shadow=False)
    assert (first.id, second.share, second.stage) == (second.id, 0.5, 2)


def test_the_same_share_again_begins_nothing_anew(
    spec: Spec, console: Console, registry: type[FakeRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin_release(spec, SERVED, CHAMPION, console, share=0.1, shadow=False)
    monkeypatch.setattr("raymill.release.now", lambda: "2030-01-01T00:00:00+00:00")
    assert begin_release(spec, SERVED, CHAMPION, console, share=0.1, shadow=False) == first
    assert find_release(Store(spec.store), "far") == first


def test_replicas_that_could_not_load_the_candidate_are_said() -> None:
    candidate = Candidate(version="3", bundle_uri="s3://b", digest="d")
    stable = {"stable": "2", "stable_bundle_uri": "u", "stable_digest": "d"}
    fields = stable | {"share": 0.1, "shadow": False, "begun": now(), "changed": now()}
    begun = Release(id="r", name="far", candidate=candidate, **fields)
    report = ReleaseReport(replicas=2, failures=("The bundle is gone.",))
    lines = Standing(release=begun, report=report, decision=Hold(reason="not yet")).lines()
    assert "failed    1 replicas to load the candidate: The bundle is gone." in lines


def test_a_release_beside_a_version_that_was_replaced_makes_room(
    spec: Spec, console: Console, registry: type[FakeRegistry]
) -> None:
    first = begin_release(spec, SERVED, CHAMPION, console, share=0.1, shadow=False)
    later = replace(CHAMPION, version="5", digest="e" * 64)
    second = begin_release(spec, replace(SERVED, version="4"), later, console, share=0.2, shadow=False)
    assert (second.stable, second.candidate.version, second.state) == ("4", "5", "on")
    assert second.id != first.id


def test_what_is_promoted_is_deployed_where_the_endpoint_is(
    spec: Spec, console: Console, registry: type[FakeRegistry]
) -> None:
    deployed: list[ServedModel] = []

    def deploy(spec: Spec, model: ServedModel, console: Console) -> str:
        deployed.append(model)
        return "http://there"

    begin_release(spec, SERVED, CHAMPION, console, share=0.1, shadow=True)
    assert promote(spec, console, deploy=deploy) == "http://there"
    assert deployed == [CHAMPION]
    ended = find_release(Store(spec.store), "far")
    assert ended is not None and (ended.state, ended.share, ended.shadow) == ("promoted", 1.0, False)
    assert ended.deployed


def test_what_is_promoted_and_could_not_be_deployed_answers_until_another_version_is(
    spec: Spec, console: Console, registry: type[FakeRegistry]
) -> None:
    def deploy(spec: Spec, model: ServedModel, console: Console) -> str:
        raise ResourceError("There is no room.", "Wait.")

    store = Store(spec.store)
    for served, state in (("3", "promoted"), ("2", "overtaken"), ("4", "overtaken")):
        begin_release(spec, SERVED, CHAMPION, console, share=0.1, shadow=False)
        with pytest.raises(ResourceError, match="no room"):
            promote(spec, console, deploy=deploy)
        left = find_release(store, "far")
        assert left is not None and left.state == "promoted" and not left.deployed
        settle(store, "far", served)
        ended = find_release(store, "far")
        assert ended is not None and (ended.state, ended.deployed) == (state, served == "3")


def test_a_promotion_that_was_stopped_before_its_deploy_is_ended_by_the_same_command(
    spec: Spec, console: Console, registry: type[FakeRegistry]
) -> None:
    def stopped(spec: Spec, model: ServedModel, console: Console) -> str:
        raise KeyboardInterrupt

    begin_release(spec, SERVED, CHAMPION, console, share=0.1, shadow=False)
    with pytest.raises(KeyboardInterrupt):
        promote(spec, console, deploy=stopped)
    assert promote(spec, console, deploy=lambda *_: "http://there") == "http://there"
    ended = find_release(Store(spec.store), "far")
    assert ended is not None and (ended.state, ended.deployed) == ("promoted", True)
    with pytest.raises(ResourceError, match="No version of far is being released"):
        promote(spec, console, deploy=stopped)


def test_a_rollback_that_mlflow_was_not_told_of_is_told_by_the_same_command(
    spec: Spec, console: Console, registry: type[FakeRegistry]
) -> None:
    begin_release(spec, SERVED, CHAMPION, console, share=0.1, shadow=False)
    registry.away = True
    with pytest.raises(TrackerError):
        roll_back(spec, console)
    ended = find_release(Store(spec.store), "far")
    assert ended is not None and (ended.state, registry.champion) == ("rolled_back", 3)
    registry.away = False
    assert roll_back(spec, console) == ended
    assert registry.champion == 2


def test_a_release_beside_a_version_that_is_no_longer_served_is_over(
    spec: Spec, console: Console, registry: type[FakeRegistry]
) -> None:
    store = Store(spec.store)
    settle(store, "far", "3")
    begun = begin_release(spec, SERVED, CHAMPION, console, share=0.1, shadow=False)
    settle(store, "far", "2")
    assert find_release(store, "far") == begun
    settle(store, "far", "3")
    ended = find_release(store, "far")
    assert ended is not None and (ended.state, ended.reason) == ("overtaken", "version 3 was deployed meanwhile")
    with pytest.raises(ResourceError, match="No version of far is being released"):
        roll_back(spec, console)
    assert registry.champion == 3


def test_a_rollback_that_was_told_is_over(spec: Spec, console: Console, registry: type[FakeRegistry]) -> None:
    with pytest.raises(ResourceError, match="No version of far is being released"):
        roll_back(spec, console)
    begin_release(spec, SERVED, CHAMPION, console, share=0.1, shadow=False)
    roll_back(spec, console)
    for later in (2, 7):
        registry.champion = later
        with pytest.raises(ResourceError, match="No version of far is being released"):
            roll_back(spec, console)
        assert registry.champion == later


def test_what_was_judged_and_then_changed_by_somebody_else_is_judged_anew(
    spec: Spec, console: Console, registry: type[FakeRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_release(spec, SERVED, CHAMPION, console, share=0.1, shadow=False)
    seen = []

    def judged(*_: object, **__: object) -> Promote:
        there = find_release(Store(spec.store), "far")
        assert there is not None
        if not seen:
            change(Store(spec.store), "far", share=0.5)
        seen.append(there.stage)
        return Promote(reason=f"by stage {there.stage}")

    monkeypatch.setattr("cluster.releasing.judge", judged)
    monkeypatch.setattr("cluster.releasing._JUDGED_EVERY_S", 0.0)
    ended = follow(spec, console, deploy=lambda *_: "http://there")
    assert seen[:2] == [1, 2] and (ended.state, ended.reason) == ("promoted", "by stage 2")
