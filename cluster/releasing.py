"""Releasing: the champion gets a share of an endpoint's requests beside the version that is served there.

All that it does to replicas is a small file in the store; only what is promoted is then deployed, while the replicas
that go send all requests to it already. The judge is asked, and obeyed, by whoever follows the release.
"""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from cluster.endpoint import deploy_version, require
from cluster.endpoint_arguments import ServedModel
from cluster.stopping import waiting_for_interrupt
from raymill.bundle import Bundle
from raymill.champion import find_champion
from raymill.console import Console
from raymill.errors import DataError, MachineError, RaymillError, ResourceError
from raymill.judge import Hold, Promote, RollBack, judge
from raymill.registry import Registry
from raymill.release import Candidate, Release, begin, change, find_release, now, settle
from raymill.release_labels import label_counts
from raymill.release_report import ReleaseReport
from raymill.spec import Spec
from raymill.store import Store
from raymill.task import Task

_TAKEN_UP_WITHIN_S = 120.0
_POLL_S = 0.5
_JUDGED_EVERY_S = 5.0
_SAID_EVERY_S = 60.0
# Of the time that judging takes, which is to read the log of a stage: a tenth of a processor at most.
_REST = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A release, what its present stage has shown, and what the judge says to that."""

    release: Release
    report: ReleaseReport
    decision: Promote | Hold | RollBack

    @classmethod
    def of(cls, spec: Spec) -> Standing:
        """Raises ResourceError where there never was one."""
        store = Store(spec.store)
        release = find_release(store, spec.name)
        if release is None:
            raise ResourceError(
                f"There is no release of {spec.name}.", "Type `raymill deploy SPEC --canary 10%` to begin one."
            )
        report = ReleaseReport.gather(store, release)
        if spec.serve.log.sample:
            stable, candidate = label_counts(store, release, _task_of(release.stable_bundle_uri, release.stable_digest))
            report = report.merge(ReleaseReport(stable=stable, candidate=candidate))
        lasted_s = (datetime.now(UTC) - datetime.fromisoformat(release.changed)).total_seconds()
        decision = judge(report.stable, report.candidate, spec.serve.release, lasted_s=lasted_s)
        return cls(release=release, report=report, decision=decision)

    def lines(self) -> list[str]:
        release, report = self.release, self.report
        role = "shadow of" if release.shadow else "canary of"
        ended = "" if release.state == "on" else f", {release.state.replace('_', ' ')}: {release.reason}"
        lines = [
            f"release   version {release.candidate.version} beside {release.stable}, {role} {release.share:.3g} of the "
            f"requests, since {release.begun}{ended}"
        ]
        for name, counts in (("stable", report.stable), ("candidate", report.candidate)):
            lines.append(f"{name:9} {counts.requests:,} requests, {counts.rows:,} rows, {counts.errors:,} errors")
        lines.append(
            f"both      {report.candidate.pairs:,} requests, {report.candidate.paired_rows:,} rows, "
            f"{report.candidate.changed_rows:,} answered otherwise; {report.skipped:,} requests skipped"
        )
        if report.stable.labelled or report.candidate.labelled:
            lines.append(
                f"labels    of {report.stable.labelled:,} requests to the stable version, "
                f"{report.candidate.labelled:,} to the candidate"
            )
        if report.failures:
            lines.append(f"failed    {len(report.failures):,} replicas to load the candidate: {report.failures[0]}")
        if release.state == "on":
            lines.append(f"judge     {self.decision.decision.replace('_', ' ')}: {self.decision.reason}")
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The stable version of an endpoint, where that answers, and what its bundle is."""

    version: str
    url: str
    bundle_uri: str
    digest: str


Deploy = Callable[[Spec, ServedModel, Console], str]


def deploy_here(spec: Spec, model: ServedModel, console: Console) -> str:
    """Serves a version on the connected Ray, and returns where. Raises what `deploy_version` raises."""
    return deploy_version(spec, console=console, **asdict(model)).url


def release(spec: Spec, console: Console, *, share: float, shadow: bool) -> Release:
    """Gives the champion a share of the live endpoint's requests, or another one.

    Raises ResourceError without an endpoint, and what `begin_release` raises.
    """
    record, champion = require(spec), find_champion(spec, waits_s=0.0)
    model = None if champion is None else ServedModel.of(champion)
    bundle = {key: record.args[key] for key in ("bundle_uri", "digest")}
    served = Served(version=record.version, url=record.url, **bundle)
    return begin_release(spec, served, model, console, share=share, shadow=shadow)


def begin_release(
    spec: Spec, served: Served, champion: ServedModel | None, console: Console, *, share: float, shadow: bool
) -> Release:
    """Gives a champion a share of an endpoint's requests, or another one; returns when a replica has it.

    Raises ResourceError where another version is being released, DataError where the champion is what is served or
    can't be loaded (the release is over then), MachineError where no replica takes it up.
    """
    if champion is None or champion.version == served.version:
        raise DataError(
            f"There is nothing to release: the champion of {spec.name} is version {served.version}, which is served.",
            "Type `raymill promote SPEC` and read what the gate says.",
        )
    store = Store(spec.store)
    begun = _begun(store, spec, served, champion, share=share, shadow=shadow)
    _wait_until_taken_up(store, begun)
    role = "is shown" if shadow else "answers"
    console.say(f"{spec.name} version {begun.candidate.version} {role} {share:.3g} of the requests at {served.url}")
    return begun


def _begun(store: Store, spec: Spec, served: Served, champion: ServedModel, *, share: float, shadow: bool) -> Release:
    """Writes what is wanted: another share of the release that is on, or a new one."""
    settle(store, spec.name, served.version)
    there = find_release(store, spec.name)
    if there is not None and there.state == "on" and there.candidate.digest == champion.digest:
        is_so = (there.share, there.shadow) == (share, shadow)  # and what its stage has shown goes on counting
        return there if is_so else change(store, spec.name, share=share, shadow=shadow)
    begun = Release(
        id=uuid.uuid4().hex[:12],
        name=spec.name,
        stable=served.version,
        stable_bundle_uri=served.bundle_uri,
        stable_digest=served.digest,
        candidate=Candidate(**asdict(champion)),
        share=share,
        shadow=shadow,
        begun=now(),
        changed=now(),
    )
    begin(store, begun)
    return begun


def promote(spec: Spec, console: Console, reason: str = "asked for", deploy: Deploy = deploy_here) -> str:
    """The candidate answers all requests within a second, and is then deployed as the stable version; returns where.

    Raises ResourceError where no version is being released, and what `deploy` raises; the candidate answers then all
    the same, as long as its replicas live, and the same command deploys it later.
    """
    store = Store(spec.store)
    promoted = {"share": 1.0, "shadow": False, "state": "promoted", "reason": reason}
    ended = _undeployed(spec, store) or change(store, spec.name, **promoted)
    console.say(f"{spec.name} version {ended.candidate.version} answers all requests: {ended.reason}")
    url = deploy(spec, ServedModel(**ended.candidate.model_dump()), console)
    settle(store, spec.name, ended.candidate.version)
    return url


def _undeployed(spec: Spec, store: Store) -> Release | None:
    """The newest release where it is promoted and what followed was stopped or failed."""
    there = find_release(store, spec.name)
    return there if there is not None and there.state == "promoted" and not there.deployed else None


def roll_back(spec: Spec, console: Console, reason: str = "asked for") -> Release:
    """The stable version answers all requests within a second, and is the champion again.

    Raises ResourceError where no version is being released, and TrackerError where MLflow can't be told, so that the
    next deploy would bring the candidate again; requests are answered by the stable version all the same, and the same
    command tells MLflow later.
    """
    store = Store(spec.store)
    ended = _untold(spec, store) or change(store, spec.name, state="rolled_back", reason=reason)
    console.say(f"{spec.name} version {ended.stable} answers all requests: {ended.reason}")
    assert spec.tracking is not None
    Registry(spec.tracking).set_alias(spec.name, "champion", int(ended.stable))
    return ended


def _untold(spec: Spec, store: Store) -> Release | None:
    """The newest release where it is rolled back and MLflow calls its candidate the champion still."""
    there = find_release(store, spec.name)
    if there is None or there.state != "rolled_back":
        return None
    assert spec.tracking is not None
    champion = Registry(spec.tracking).alias(spec.name, "champion")
    return there if champion is not None and str(champion.number) == there.candidate.version else None


def follow(spec: Spec, console: Console, deploy: Deploy = deploy_here) -> Release:
    """Asks the judge every five seconds until it promotes or rolls back, and does so; returns the ended release.

    Ctrl-C leaves the release as it is. Raises what `promote` and `roll_back` raise.
    """
    said_s, store = -_SAID_EVERY_S, Store(spec.store)
    with waiting_for_interrupt() as is_interrupted:
        while True:
            began_s = time.monotonic()
            standing = Standing.of(spec)
            took_s = time.monotonic() - began_s
            if standing.release.state != "on":
                return standing.release
            if time.monotonic() - said_s >= _SAID_EVERY_S:
                console.say(f"judge     {standing.decision.decision.replace('_', ' ')}: {standing.decision.reason}")
                said_s = time.monotonic()
            # What was judged may have been changed by somebody else meanwhile.
            if not isinstance(standing.decision, Hold) and find_release(store, spec.name) == standing.release:
                break
            if is_interrupted(max(_JUDGED_EVERY_S, _REST * took_s)):
                return standing.release
    if isinstance(standing.decision, Promote):
        promote(spec, console, standing.decision.reason, deploy)
    else:
        roll_back(spec, console, standing.decision.reason)
    return Standing.of(spec).release


@functools.lru_cache(maxsize=1)
def _task_of(bundle_uri: str, digest: str) -> Task:
    return Bundle.read(bundle_uri, digest).task


def _wait_until_taken_up(store: Store, begun: Release) -> None:
    """Until a replica says that it takes part. What keeps one from it ends the release."""
    deadline_s = time.monotonic() + _TAKEN_UP_WITHIN_S
    why: RaymillError = MachineError(
        f"No replica of {begun.name} has taken up the release within {_TAKEN_UP_WITHIN_S:g} seconds.",
        "Look whether the endpoint's store is the spec's, and type the command again.",
    )
    while time.monotonic() < deadline_s:
        report = ReleaseReport.gather(store, begun)
        if report.failures:
            why = DataError(
                f"Version {begun.candidate.version} of {begun.name} can't be loaded: {report.failures[0]}",
                f"Version {begun.stable} answers on. Train again, or give the champion's alias to another version.",
            )
            break
        if report.replicas:
            return
        time.sleep(_POLL_S)
    change(store, begun.name, state="rolled_back", reason=why.what)
    raise why
