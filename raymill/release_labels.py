"""The labels of a release: what turned out true of both versions' answers, as far as they were logged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymill.labelled import labelled
from raymill.release import Release
from raymill.store import Store
from raymill.task import Task
from raymill.version_counts import VersionCounts


def label_counts(store: Store, release: Release, task: Task) -> tuple[VersionCounts, VersionCounts]:
    """Counts of the labelled requests of the release's present stage: the stable version's, the candidate's.

    `task` is the stable version's, in whose units both are wrong; one may know classes that the other doesn't. Raises
    StoreError, DataError.
    """
    now = datetime.now(UTC)
    found = labelled(store, release.name, datetime.fromisoformat(release.changed), now, now)
    if task.kind == "classification":
        task = replace(task, classes=_classes(found))
    stable, candidate = (_counts(found, version, task) for version in (release.stable, release.candidate.version))
    return stable, candidate


def _counts(found: pa.Table, version: str, task: Task) -> VersionCounts:
    own = found.filter(pc.equal(found["version"], version))
    if not own.num_rows:
        return VersionCounts()
    ids = own["request_id"].to_numpy()
    starts = np.flatnonzero(ids[1:] != ids[:-1]) + 1
    predicted, true = (_values(own[column], task) for column in ("prediction", "label"))
    scores = np.eye(len(task.classes))[predicted] if task.classes else predicted
    return VersionCounts.of_labels(task, np.split(scores, starts), np.split(true, starts))


def _classes(found: pa.Table) -> tuple[str, ...]:
    """All that either version has answered or that turned out true."""
    together = pa.chunked_array([*found["prediction"].chunks, *found["label"].chunks], found["label"].type)
    return tuple(together.unique().to_pylist())


def _values(column: pa.ChunkedArray, task: Task) -> np.ndarray:
    """Class indices, or values as they are."""
    found = pc.index_in(column, value_set=pa.array(task.classes, column.type)) if task.classes else column
    values: np.ndarray = found.to_numpy()
    return values
