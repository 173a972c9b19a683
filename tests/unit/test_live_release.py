"""A release in one replica: who answers, who scores behind the answer, and what is counted and said of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raymill.encodings import Features
from raymill.errors import DataError, ResourceError
from raymill.release import Candidate, Release, begin, change, find_release, now, settle
from raymill.release_report import ReleaseReport
from raymill.schema import Column, RowsError, Schema
from raymill.store import Store
from raymill.task import Task
from serving import release_watch
from serving.live_release import LiveRelease
from serving.model import Model
from serving.release_watch import ReleaseWatch
from serving.version import Version

SCHEMA = Schema(columns=(Column(name="a", kind="number"),))
TASK = Task(kind="classification", target="y", classes=("no", "yes"))
IDS = [f"request-{index}" for index in range(400)]


@dataclass
class Fake:
    """Says `share` for every row, or raises."""

    share: float
    raises: Exception | None = None
    schema: Schema = SCHEMA
    task: Task = TASK
    digest: str = "d"

    def encode(self, rows: Sequence[dict[str, Any]]) -> Features:
        return self.encode_table(self.schema.table_from_rows(list(rows)))

    def encode_table(self, table: pa.Table) -> Features:
        return Features(numbers=np.zeros((table.num_rows, 1)), categories=np.empty((table.num_rows, 0)))

    def scores(self, features: Features) -> np.ndarray:
        if self.raises is not None:
            raise self.raises
        return np.tile([1 - self.share, self.share], (features.rows, 1))


@pytest.fixture
def apart() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def _version(label: str, fake: Fake, apart: ThreadPoolExecutor) -> Version:
    return Version("demo", label, Model(predictor=fake, lineage={}), 256, apart)


def _release(**changes: Any) -> Release:
    return Release(
        **{
            "id": "r1",
            "name": "demo",
            "stable": "1",
            "stable_bundle_uri": "u",
            "stable_digest": "d",
            "candidate": Candidate(version="2", bundle_uri="u", digest="d"),
            "share": 0.25,
            "shadow": False,
            "begun": now(),
            "changed": now(),
        }
        | changes
    )


def _live(apart: ThreadPoolExecutor, candidate: Fake, **changes: Any) -> LiveRelease:
    stable = _version("1", Fake(0.2), apart)
    return LiveRelease(_release(**changes), stable, _version("2", candidate, apart))


def _ask(live: LiveRelease, rows: list[dict[str, Any]] | None = None) -> list[tuple[str, float]]:
    """Who answered each id, and what; what is scored behind the answers has ended."""

    async def all_of_them() -> list[tuple[str, float]]:
        found = [await live.score(rows or [{"a": 1}], request_id) for request_id in IDS]
        while live._behind:
            await asyncio.sleep(0)
        return [(version.label, float(scores[0, 1])) for version, scores in found]

    return asyncio.run(all_of_them())


def test_a_canary_answers_its_share_and_the_stable_version_scores_those_too(apart: ThreadPoolExecutor) -> None:
    live = _live(apart, Fake(0.9))
    answers = _ask(live)
    assert set(answers) == {("1", 0.2), ("2", 0.9)}
    taken = sum(label == "2" for label, _ in answers)
    assert 60 < taken < 140
    report = live.tally.report()
    assert (report.stable.requests, report.candidate.requests) == (400 - taken, taken)
    assert (report.candidate.pairs, report.candidate.changed_rows, report.skipped) == (taken, taken, 0)


def test_a_request_stays_with_its_version_and_a_larger_share_keeps_those_it_had() -> None:
    small, large = _release(share=0.1), _release(share=0.4)
    first = {request_id for request_id in IDS if small.takes(request_id)}
    assert first < {request_id for request_id in IDS if large.takes(request_id)}
    assert not any(map(_release(share=0.0).takes, IDS)) and all(map(_release(share=1.0).takes, IDS))


def test_a_shadow_answers_nobody(apart: ThreadPoolExecutor) -> None:
    live = _live(apart, Fake(0.9), shadow=True)
    assert set(_ask(live)) == {("1", 0.2)}
    report = live.tally.report()
    assert report.stable.requests == 400 and report.candidate.requests == report.candidate.pairs > 60


@pytest.mark.parametrize("shadow", [False, True])
def test_a_candidate_that_fails_is_counted_and_nobody_else_notices(apart: ThreadPoolExecutor, shadow: bool) -> None:
    live = _live(apart, Fake(0.9, raises=RuntimeError("broken")), shadow=shadow)
    assert set(_ask(live)) == {("1", 0.2)}
    report = live.tally.report()
    assert report.candidate.errors == report.candidate.requests > 60 and report.candidate.pairs == 0
    assert report.stable.errors == 0


def test_a_failing_candidate_is_said_ever_more_seldom(
    apart: ThreadPoolExecutor, said: pytest.LogCaptureFixture
) -> None:
    _ask(_live(apart, Fake(0.9, raises=RuntimeError("broken")), share=1.0))
    times = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert [record.args[1] for record in said.records if record.args] == times  # type: ignore[index]


@pytest.mark.parametrize(("shadow", "errors"), [(False, 1), (True, 0)])
def test_who_waits_too_long_charges_the_candidate_and_no_version_that_is_looked_at_alone(
    apart: ThreadPoolExecutor, shadow: bool, errors: int
) -> None:
    live = _live(apart, Fake(0.9), share=1.0, shadow=shadow)

    async def leave() -> None:
        asked = asyncio.create_task(live.score([{"a": 1}], "request"))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    asyncio.run(leave())
    report = live.tally.report()
    assert (report.stable.errors, report.candidate.errors) == (0, errors)


@pytest.mark.parametrize("shadow", [False, True])
def test_a_candidate_whose_score_is_no_number_answers_nobody(apart: ThreadPoolExecutor, shadow: bool) -> None:
    live = _live(apart, Fake(float("nan")), shadow=shadow)
    assert set(_ask(live)) == {("1", 0.2)}
    report = live.tally.report()
    assert report.candidate.errors == report.candidate.requests > 60


def test_a_shadow_is_charged_with_what_callers_do_wrong_as_the_stable_version_is(apart: ThreadPoolExecutor) -> None:
    live = _live(apart, Fake(0.2), shadow=True, share=1.0)

    async def ask() -> None:
        for request_id in IDS:
            with contextlib.suppress(RowsError):
                await live.score([{"a": "x"}], request_id)
            while live._behind:
                await asyncio.sleep(0)

    asyncio.run(ask())
    report = live.tally.report()
    assert report.stable.errors == report.candidate.errors == report.candidate.requests == len(IDS)


def test_scores_of_a_candidate_with_another_order_of_classes_lie_where_the_stable_versions_do(
    apart: ThreadPoolExecutor,
) -> None:
    other = Fake(0.78, task=replace(TASK, classes=("yes", "no")))
    live = _live(apart, other)
    _ask(live)
    report = live.tally.report()
    assert report.candidate.changed_rows == 0
    assert np.flatnonzero(report.candidate.scores).tolist() == np.flatnonzero(report.stable.scores).tolist()


def test_rows_that_fit_no_version_are_the_callers(apart: ThreadPoolExecutor) -> None:
    live = _live(apart, Fake(0.9))
    taken = next(request_id for request_id in IDS if live.release.takes(request_id))
    for request_id in (taken, next(request_id for request_id in IDS if not live.release.takes(request_id))):
        with pytest.raises(RowsError):
            asyncio.run(live.score([{"a": "x"}], request_id))


def test_many_rows_are_scored_and_counted_as_few_are(apart: ThreadPoolExecutor) -> None:
    live = _live(apart, Fake(0.9), share=1.0)

    async def one() -> np.ndarray:
        scores = (await live.score([{"a": 1}] * 2_000, "x"))[1]
        while live._behind:
            await asyncio.sleep(0.001)
        return scores

    assert asyncio.run(one()).shape == (2_000, 2)
    assert live.tally.report().candidate.paired_rows == 2_000


class Watched:
    """A watch over a folder, whose candidates are fakes."""

    def __init__(self, folder: Path, apart: ThreadPoolExecutor) -> None:
        self.store, self.loaded, self.fails, self.task = Store(str(folder)), 0, "", TASK
        self.watch = ReleaseWatch(self.store, "demo", _version("1", Fake(0.2), apart), self._load, "replica-1")
        self._apart = apart

    def _load(self, candidate: Candidate) -> Version:
        self.loaded += 1
        if self.fails:
            raise DataError(self.fails, "Do.")
        return _version(candidate.version, Fake(0.9, task=self.task), self._apart)

    def report(self) -> ReleaseReport:
        release = find_release(self.store, "demo")
        assert release is not None
        return ReleaseReport.gather(self.store, release)


@pytest.fixture
def watched(tmp_path: Path, apart: ThreadPoolExecutor) -> Watched:
    return Watched(tmp_path, apart)


def test_a_release_is_taken_up_shifted_and_left(watched: Watched) -> None:
    watched.watch.look()
    assert watched.watch.live is None
    begin(watched.store, _release())
    watched.watch.look()
    first = watched.watch.live
    assert first is not None and watched.report().replicas == 1
    _ask(first)
    after = change(watched.store, "demo", share=0.5)
    watched.watch.look()
    live = watched.watch.live
    assert live is not None and live is not first and live.release.stage == after.stage == 2
    assert live.candidate is first.candidate and watched.loaded == 1
    assert ReleaseReport.gather(watched.store, _release()).stable.requests > 200, "the first stage's counts are kept"
    _ask(live)
    watched.watch.report()
    assert watched.report().candidate.requests > 150
    change(watched.store, "demo", state="rolled_back", reason="worse")
    watched.watch.look()
    assert watched.watch.live is None


def test_a_promoted_candidate_answers_on_until_its_replicas_are_there(watched: Watched) -> None:
    begin(watched.store, _release())
    change(watched.store, "demo", share=1.0, state="promoted")
    watched.watch.look()
    assert watched.watch.live is not None and set(_ask(watched.watch.live)) == {("2", 0.9)}


def test_the_stable_version_deployed_again_after_a_promotion_answers_itself(
    watched: Watched, tmp_path: Path, apart: ThreadPoolExecutor
) -> None:
    begin(watched.store, _release())
    change(watched.store, "demo", share=1.0, state="promoted")
    watched.watch.look()
    for served in ("2", "1"):
        settle(watched.store, "demo", served)
        watched.watch.look()
        assert watched.watch.live is not None, "which is going, and its callers have heard of version 2 already"
    later = Watched(tmp_path, apart)
    later.watch.look()
    assert later.watch.live is None and later.loaded == 0


def test_a_release_over_another_stable_version_is_none_of_a_replicas(watched: Watched) -> None:
    begin(watched.store, _release(stable="7"))
    watched.watch.look()
    assert watched.watch.live is None and watched.loaded == 0


def test_a_candidate_that_cant_be_loaded_is_said_once_and_tried_again_in_the_next_release(watched: Watched) -> None:
    watched.fails = "The bundle is gone."
    begin(watched.store, _release())
    watched.watch.look()
    watched.watch.look()
    assert watched.watch.live is None and watched.loaded == 1
    assert watched.report().failures == ("The bundle is gone.",)
    change(watched.store, "demo", state="rolled_back")
    watched.fails = ""
    begin(watched.store, _release(id="r2"))
    watched.watch.look()
    assert watched.watch.live is not None


def test_a_candidate_of_another_task_is_not_taken_up(watched: Watched) -> None:
    watched.task = Task(kind="regression", target="y")
    begin(watched.store, _release())
    watched.watch.look()
    assert watched.watch.live is None
    said = "Its task is regression of y, and that of the version which is served is classification of y."
    assert watched.report().failures == (said,)


def test_what_a_stage_has_shown_is_kept_when_its_candidate_is_promoted(watched: Watched) -> None:
    begin(watched.store, _release(share=1.0))
    watched.watch.look()
    assert watched.watch.live is not None
    _ask(watched.watch.live)
    change(watched.store, "demo", share=1.0, state="promoted")
    watched.watch.look()
    _ask(watched.watch.live)
    watched.watch.report()
    assert watched.report().candidate.requests == 2 * len(IDS)


def test_only_one_release_is_on_and_only_one_that_is_on_is_changed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(ResourceError, match="No version of demo is being released"):
        change(store, "demo", share=0.5)
    begin(store, _release())
    with pytest.raises(ResourceError, match="Version 2 of demo is being released already"):
        begin(store, _release(id="r2"))
    change(store, "demo", state="rolled_back")
    begin(store, _release(id="r2"))


def test_a_store_that_says_nonsense_leaves_the_stable_version_and_the_thread_alive(watched: Watched) -> None:
    watched.store.write_bytes("endpoints/demo/release.json", b"{")
    with pytest.raises(ResourceError, match="no release"):
        watched.watch.look()
    watched.watch.start()
    time.sleep(1.2)
    watched.store.delete("endpoints/demo/release.json")
    begin(watched.store, _release())
    deadline_s = time.monotonic() + 20
    while watched.watch.live is None and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert watched.watch.live is not None


def test_whatever_goes_wrong_the_thread_hears_of_the_next_release(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    peek, wrong = watched.store.peek, iter([True])

    def look_at(path: str) -> bytes | None:
        if next(wrong, False):
            raise pa.ArrowInvalid("something")
        return peek(path)

    monkeypatch.setattr(release_watch, "_EVERY_S", 0.01)
    begin(watched.store, _release())
    monkeypatch.setattr(watched.store, "peek", look_at)
    watched.watch.start()
    deadline_s = time.monotonic() + 20
    while watched.watch.live is None and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert watched.watch.live is not None
