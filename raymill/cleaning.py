"""Cleaning: which files in a store no result needs, and their removal.

| removed | when |
|---|---|
| the folder of a dataset without a manifest | its newest file is an hour old |
| the scores of an evaluation without evaluation.json | their newest file is an hour old |
| what attempts at a training left of their own in a run | nothing in the run has changed for an hour |
| a finished run's checkpoints, but the newest whole one | nobody trains it: train.json is newer, or an hour has gone |
| a bundled table of another version than the one installed | it is an hour old |
| the record and the logs of a job | there are 20 newer ones of its spec, and they are an hour old |
| any other half-written file of raymill's, as of an endpoint's log | it is an hour old |

What is younger may be being written by another process. The newest checkpoint stays because a run can be extended,
and all of an unfinished run's because it can be continued. Bundles, manifests, histories, baselines, MLflow's files,
endpoint records (only their process knows whether it lives), what endpoints have logged of requests and of feedback,
files by names that raymill doesn't give and what lies behind a link out of the store are never touched.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from raymill.bundled import current_path
from raymill.checkpoint_name import is_whole, step_in
from raymill.console import Console
from raymill.job_record import ENDING, FOLDER
from raymill.spec import Spec
from raymill.store import FileInfo, Store

_HOUR_NS = 3_600 * 10**9
_NAME = r"[a-z0-9][a-z0-9-]*"
_RUN = rf"{_NAME}-[0-9a-f]{{8}}"
_TORN = r"\.[0-9a-f]{8}\.partial"
_DATASET = re.compile(rf"(datasets/{_NAME}-[0-9a-f]{{12}})/(.+)")
_DATASET_FILE = re.compile(
    rf"((train|validation|test|raw_test)/[^/]+\.parquet|(profile|manifest|lease|done/[^/]+)\.json)({_TORN})?"
)
_EVALUATION = re.compile(rf"(evaluations/{_RUN}/[0-9a-f]{{12}}[^/]*)/(.+)")
_EVALUATION_FILE = re.compile(rf"(.+\.parquet|evaluation\.json)({_TORN})?")
_TRAINING = re.compile(rf"(runs/{_RUN})/((?:ray|checkpoints|history)/.+|spec\.json)")
_BUNDLED = re.compile(r"sources/(\w+)-[^/]+\.parquet")
_JOB = re.compile(rf"({FOLDER}/({_NAME})-{ENDING})/(job\.json|driver\.log|workers\.log)")
_JOBS_KEPT = 20
_OURS_TORN = re.compile(
    rf"(datasets/{_NAME}-[0-9a-f]{{12}}|(runs|evaluations)/{_RUN}|{FOLDER}/{_NAME}-{ENDING}|sources|endpoints)/.+{_TORN}"
)
_FOLDERS = ("datasets", "runs", "evaluations", "sources", FOLDER)
_ENDPOINTS = "endpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A file or folder of a store that can go, and why."""

    path: str
    reason: str
    size_bytes: int


def clean(spec: Spec, console: Console) -> list[str]:
    """Removes from the spec's store what no result of any spec needs; returns the paths removed. Raises StoreError."""
    store = Store(spec.store)
    found = removals(store, time.time_ns())
    for removal in found:
        store.delete(removal.path)
        console.say(f"clean     removed {removal.path} ({_size(removal.size_bytes)}): {removal.reason}")
    if found:
        console.say(f"clean     freed {_size(sum(removal.size_bytes for removal in found))} in {store.uri}")
    else:
        console.say(f"clean     nothing to remove in {store.uri}")
    return [removal.path for removal in found]


def removals(store: Store, now_ns: int) -> list[Removal]:
    """What can go at a time in nanoseconds since 1970. It reads the store and changes nothing."""
    files = [f for folder in _FOLDERS for f in (*store.files(folder, recursive=True), *store.unfinished(folder))]
    files += store.unfinished(_ENDPOINTS)  # whole ones all stay there, and a bucket need not list the years of a log
    found = [
        *_abandoned(files, now_ns, _DATASET, _DATASET_FILE, "manifest.json", "a dataset without a manifest"),
        *_abandoned(files, now_ns, _EVALUATION, _EVALUATION_FILE, "evaluation.json", "an unfinished evaluation"),
        *_rays_own(files, now_ns),
        *_old_checkpoints(store, files, now_ns),
        *_old_tables(files, now_ns),
        *_old_jobs(files, now_ns),
    ]
    gone = tuple(f"{removal.path}/" for removal in found)
    torn = [f for f in files if _OURS_TORN.fullmatch(f.path) and not f.path.startswith(gone) and _rests([f], now_ns)]
    found += [Removal(path=f.path, reason="half written", size_bytes=f.size_bytes) for f in torn]
    return [removal for removal in found if store.holds(removal.path)]


def _abandoned(
    files: Iterable[FileInfo], now_ns: int, folder: re.Pattern[str], own: re.Pattern[str], manifest: str, what: str
) -> Iterator[Removal]:
    """Folders without a manifest in which all files are of raymill's making."""
    for path, members in _grouped(files, folder).items():
        inner = [f.path.removeprefix(f"{path}/") for f in members]
        finished = any(name.rpartition("/")[2] == manifest for name in inner)
        if not finished and all(map(own.fullmatch, inner)) and _rests(members, now_ns):
            yield Removal(path=path, reason=what, size_bytes=_total(members))


def _rays_own(files: list[FileInfo], now_ns: int) -> Iterator[Removal]:
    for run, members in _grouped(files, _TRAINING).items():
        rays = [f for f in members if f.path.startswith(f"{run}/ray/")]
        if rays and _rests([f for f in files if f.path.startswith(f"{run}/")], now_ns):
            yield Removal(path=f"{run}/ray", reason="left by an attempt at training", size_bytes=_total(rays))


def _old_checkpoints(store: Store, files: list[FileInfo], now_ns: int) -> Iterator[Removal]:
    manifests = {f.path: f for f in files}
    for run, members in _grouped(files, _TRAINING).items():
        trained = manifests.get(f"{run}/train.json")
        checkpoints = [f for f in members if step_in(f.path) is not None]
        if trained is None or len(checkpoints) < 2:
            continue
        ended = trained.changed_ns >= max(f.changed_ns for f in members)
        if ended or _rests(members, now_ns):
            newest = next((f for f in reversed(checkpoints) if is_whole(f.path, store.read_bytes(f.path))), None)
            for old in checkpoints if newest is not None else ():
                if old is not newest:
                    yield Removal(path=old.path, reason="the run is finished", size_bytes=old.size_bytes)


def _old_tables(files: Iterable[FileInfo], now_ns: int) -> Iterator[Removal]:
    for file in files:
        match = _BUNDLED.fullmatch(file.path)
        current = current_path(match.group(1)) if match else None
        if current is not None and file.path != current and _rests([file], now_ns):
            yield Removal(path=file.path, reason="a bundled table of another version", size_bytes=file.size_bytes)


def _old_jobs(files: Iterable[FileInfo], now_ns: int) -> Iterator[Removal]:
    """All but the newest jobs of each spec's name, by the times in their names."""
    named: dict[str, dict[str, list[FileInfo]]] = {}
    for file in files:
        if match := _JOB.fullmatch(file.path):
            named.setdefault(match[2], {}).setdefault(f"{match[4]} {match[1]}", []).append(file)
    for jobs in named.values():
        for job in sorted(jobs)[:-_JOBS_KEPT]:
            if _rests(jobs[job], now_ns):
                path, reason = job.partition(" ")[2], f"there are {_JOBS_KEPT} newer jobs of its name"
                yield Removal(path=path, reason=reason, size_bytes=_total(jobs[job]))


def _grouped(files: Iterable[FileInfo], pattern: re.Pattern[str]) -> dict[str, list[FileInfo]]:
    """The files whose paths match, by the pattern's first group."""
    groups: dict[str, list[FileInfo]] = {}
    for file in files:
        if match := pattern.fullmatch(file.path):
            groups.setdefault(match.group(1), []).append(file)
    return groups


def _rests(files: Iterable[FileInfo], now_ns: int) -> bool:
    """Whether nothing has been written for an hour."""
    return all(now_ns - file.changed_ns > _HOUR_NS for file in files)


def _total(files: Iterable[FileInfo]) -> int:
    return sum(file.size_bytes for file in files)


def _size(size_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} TB"
