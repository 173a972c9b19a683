"""Labels of a release are counted for both versions alike, whichever classes either of them knows."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from raymill.endpoint_log import feedback_folder, feedback_table, request_table, requests_folder
from raymill.hourly import hour_at, hour_folder
from raymill.release import Candidate, Release, now
from raymill.release_labels import label_counts
from raymill.store import Store
from raymill.task import Task

TASK = Task(kind="classification", target="y", classes=("a", "b", "c"))
RELEASE = Release(
    id="r",
    name="demo",
    stable="1",
    stable_bundle_uri="u",
    stable_digest="d",
    candidate=Candidate(version="2", bundle_uri="u", digest="d"),
    share=0.5,
    shadow=False,
    begun=now(),
    changed=now(),
)


def _answered(store: Store, task: Task, version: str, classes: list[str], at_s: float) -> None:
    """A request for each class that the version has answered, by the ids `VERSION-0` and so on."""
    scores = np.eye(len(task.classes))[[task.classes.index(each) for each in classes]]
    ids = [f"{version}-{place}" for place in range(len(classes))]
    times = {"seconds": [0.1] * len(ids), "at": [at_s] * len(ids)}
    inputs, rows = pa.table({"x": np.zeros(len(ids))}), np.ones(len(ids), dtype=int)
    table = request_table(task, version, inputs, scores, pa.table({"request_id": ids} | times), rows)
    store.write_table(f"{requests_folder('demo')}/{hour_folder(hour_at(at_s))}/{version}.parquet", table)


def _told(store: Store, labels: dict[str, str], at_s: float) -> None:
    ids, rows = pa.array(list(labels)), pa.array([0] * len(labels))
    table = feedback_table(ids, rows, pa.array(list(labels.values())), at_s)
    store.write_table(f"{feedback_folder('demo')}/{hour_folder(hour_at(at_s))}/f.parquet", table)


def test_a_class_that_the_candidate_never_learnt_is_no_fault_of_the_stable_version(tmp_path: Path) -> None:
    store, at_s = Store(str(tmp_path)), time.time()
    _answered(store, TASK, "1", ["c", "c", "a", "c"], at_s)
    candidate = replace(TASK, classes=("a", "b"))
    _answered(store, candidate, "2", ["b", "a"], at_s)
    labels = {"1-0": "c", "1-1": "b", "1-2": "a", "1-3": "d", "2-0": "c", "2-1": "a"}
    _told(store, labels, at_s)
    for task in (TASK, candidate):
        stable, found = label_counts(store, RELEASE, task)
        assert (stable.labelled, stable.loss) == (4, 2.0)
        assert (found.labelled, found.loss) == (2, 1.0)


def test_without_labels_nothing_is_counted(tmp_path: Path) -> None:
    store, at_s = Store(str(tmp_path)), time.time()
    for _ in range(2):
        stable, candidate = label_counts(store, RELEASE, TASK)
        assert stable.labelled == candidate.labelled == 0
        _answered(store, TASK, "1", ["c"], at_s)
