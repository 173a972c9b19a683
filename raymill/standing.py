"""The standing: what of a spec's walk is in its store already, and how far an unfinished training has come.

It reads names, manifests and histories, quickly: no MLflow, no torch, no rows. What its endpoint does, only a caller
that can ask it knows.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from raymill.checkpoint_name import step_in
from raymill.errors import DataError
from raymill.evaluation import MANIFEST as EVALUATION
from raymill.evaluation import Evaluation
from raymill.history import read_history
from raymill.job_record import newest
from raymill.prepared import MANIFEST, Prepared
from raymill.run import Run
from raymill.spec import Spec
from raymill.split import SPLITS
from raymill.store import FileInfo, Store

_UNFINISHED = "unfinished"
_JOBS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetStanding:
    """A prepared dataset."""

    uri: str
    made: str
    source: str
    rows: dict[str, int]

    def __str__(self) -> str:
        rows = ", ".join(f"{split} {rows:,}" for split, rows in self.rows.items())
        return f"{self.uri}: {rows} rows of {self.source}, made {self.made}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStanding:
    """A run, `state` unfinished, finished or stopped early: the epochs and global steps done, `written` last when.

    An unfinished run continues from `checkpoint_step`, in the epoch after `checkpoint_epoch`.
    """

    run: str
    state: str
    epochs: int
    epochs_asked: int
    step: int
    checkpoint_step: int | None
    checkpoint_epoch: int | None
    written: str

    def __str__(self) -> str:
        done = f"{self.run}: {self.state}, {self.epochs} of {self.epochs_asked} epochs, last written {self.written}"
        if self.state != _UNFINISHED:
            return done
        if self.checkpoint_step is None or self.checkpoint_epoch is None:
            return f"{done}; no checkpoint yet"
        return f"{done}; continues from step {self.checkpoint_step:,} of epoch {self.checkpoint_epoch + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationStanding:
    """An evaluation's main metric: of the candidate, the baselines and the champion of the time, if there was one."""

    uri: str
    run: str
    metric: str
    rows: int
    value: float | None
    others: dict[str, float | None]
    made: str

    def __str__(self) -> str:
        others = ", ".join(f"{name} {_text(value)}" for name, value in self.others.items())
        return f"{self.run}: {self.metric} {_text(self.value)} on {self.rows:,} test rows ({others}), made {self.made}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableStanding:
    """Something that this raymill can't read, and why."""

    uri: str
    made: str
    problem: str

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStanding:
    """A job, `state` running, succeeded, failed, interrupted or lost."""

    id: str
    state: str
    started: str
    problem: str | None

    def __str__(self) -> str:
        return f"{self.id}: {self.state}, started {self.started}{f'; {self.problem}' if self.problem else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStanding:
    """The version that an endpoint is to serve, whether that answers now, and in words what it does.

    `started` is in UTC, None where nobody keeps it.
    """

    url: str
    version: str
    started: str | None
    answers: bool
    state: str

    def __str__(self) -> str:
        started = f", started {self.started}" if self.started else ""
        return f"{self.url}: version {self.version}{started}, {self.state}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All that a store holds under a spec's name, oldest first. Times are UTC in ISO 8601."""

    store: str
    datasets: tuple[DatasetStanding | UnreadableStanding, ...]
    runs: tuple[RunStanding, ...]
    evaluations: tuple[EvaluationStanding | UnreadableStanding, ...]
    jobs: tuple[JobStanding, ...]
    endpoint: EndpointStanding | None

    @classmethod
    def of(cls, spec: Spec, endpoint: EndpointStanding | None) -> Standing:
        """Reads the spec's store. Raises StoreError."""
        store, name = Store(spec.store), re.escape(spec.name)
        manifests = _files(store, "datasets", rf"{name}-[0-9a-f]{{12}}/{MANIFEST}")
        evaluations = _files(store, "evaluations", rf"{name}-[0-9a-f]{{8}}/.+/{re.escape(EVALUATION)}")
        runs: dict[str, list[FileInfo]] = {}
        for file in _files(store, "runs", rf"{name}-[0-9a-f]{{8}}/((spec|train)\.json|(checkpoints|history)/.+)"):
            runs.setdefault(file.path.split("/")[1], []).append(file)
        return cls(
            store=store.uri,
            datasets=tuple(_dataset(store, file) for file in manifests),
            runs=tuple(_run(Run(name=name, store=store), files) for name, files in runs.items() if _began(files)),
            evaluations=tuple(filter(None, (_evaluation(spec, store, file) for file in evaluations))),
            jobs=_jobs(store, spec.name),
            endpoint=endpoint,
        )

    def lines(self) -> Iterator[str]:
        """A plain line for each thing that is there, and for each kind of which there is none."""
        yield f"store     {self.store}"
        endpoints = () if self.endpoint is None else (self.endpoint,)
        kinds: tuple[tuple[str, tuple[object, ...]], ...] = (
            ("dataset", self.datasets),
            ("run", self.runs),
            ("evaluated", self.evaluations),
            ("job", self.jobs),
            ("endpoint", endpoints),
        )
        for label, things in kinds:
            yield from (f"{label:9} {thing}" for thing in things or ("none yet",))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _files(store: Store, folder: str, pattern: str) -> list[FileInfo]:
    """The files of a folder whose paths in it match, the one that changed last at the end."""
    found = [f for f in store.files(folder, recursive=True) if re.fullmatch(f"{folder}/{pattern}", f.path)]
    return sorted(found, key=lambda file: file.changed_ns)


def _dataset(store: Store, manifest: FileInfo) -> DatasetStanding | UnreadableStanding:
    uri, made = f"{store.uri}/{manifest.path.rpartition('/')[0]}", _utc(manifest)
    try:
        prepared = Prepared.open(uri)
    except DataError as error:
        return UnreadableStanding(uri=uri, made=made, problem=error.what)
    rows = {name: prepared.splits[name].rows for name in SPLITS}
    return DatasetStanding(uri=uri, made=made, source=prepared.source, rows=rows)


def _began(files: list[FileInfo]) -> bool:
    """Whether there is a run: its resolved spec is the first that is written."""
    return any(file.path.endswith("/spec.json") for file in files)


def _run(run: Run, files: list[FileInfo]) -> RunStanding:
    """Where a run is; one that is being extended beyond its manifest is unfinished again."""
    steps = [step for file in files if (step := step_in(file.path)) is not None]
    history = read_history(run.store, run.history)
    checkpoint = max(steps, default=None)
    trained = run.trained()
    if trained is not None and trained.steps < (checkpoint or 0):
        trained = None
    last = history[-1] if history else None
    saved = None if checkpoint is None else sum(record.step <= checkpoint for record in history)
    return RunStanding(
        run=run.name,
        state=_UNFINISHED if trained is None else trained.status,
        epochs=trained.epochs if trained is not None else last.epoch if last is not None else 0,
        epochs_asked=run.store.read_json(f"{run.folder}/spec.json")["train"]["epochs"],
        step=trained.steps if trained is not None else last.step if last is not None else 0,
        checkpoint_step=checkpoint,
        checkpoint_epoch=saved,
        written=_utc(files[-1]),
    )


def _evaluation(spec: Spec, store: Store, manifest: FileInfo) -> EvaluationStanding | UnreadableStanding | None:
    """An evaluation's standing; None for one that was removed in this moment."""
    uri = f"{store.uri}/{manifest.path.rpartition('/')[0]}"
    try:
        found = Evaluation.open(uri)
    except DataError as error:
        return UnreadableStanding(uri=uri, made=_utc(manifest), problem=error.what)
    if found is None:
        return None
    others = found.baselines | ({"champion": found.champion} if found.champion is not None else {})
    metric = spec.gate_metric
    return EvaluationStanding(
        uri=found.uri,
        run=found.run,
        metric=metric,
        rows=found.rows,
        value=found.metrics.get(metric),
        others={name: metrics.get(metric) for name, metrics in others.items()},
        made=_utc(manifest),
    )


def _jobs(store: Store, name: str) -> tuple[JobStanding, ...]:
    """The newest few jobs; `raymill list` has all."""
    records = list(itertools.islice(newest(store, name, datetime.now(UTC)), _JOBS))
    return tuple(
        JobStanding(id=r.id, state=r.state, started=r.started, problem=r.error["what"] if r.error else None)
        for r in reversed(records)
    )


def _utc(file: FileInfo) -> str:
    return datetime.fromtimestamp(file.changed_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
