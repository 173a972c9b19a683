"""Faults in the middle of a run on a cluster: it ends with the result of an undisturbed one, and nothing is lost.

The short form: every fault once, in as few runs as will do. Each alone, at three steps: test_fault_matrix.py.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.scene import (
    Result,
    Scene,
    checkpoint_corrupted,
    disk_filled,
    driver_killed,
    first_node_killed,
    head_started_again,
    mlflow_stopped,
    notice_given,
    other_node_killed,
    s3_stopped,
    worker_killed,
)

pytestmark = pytest.mark.faults


def test_a_training_comes_through_a_storm_as_if_undisturbed(make: Callable[..., Scene], undisturbed: Result) -> None:
    storm = make(points=[3, 7, 13, 4, 8, 2])
    storm.start()
    with worker_killed(storm):
        storm.go()
    with mlflow_stopped(0)(storm):
        with s3_stopped(5)(storm):
            storm.go()
        storm.ranks()
    with other_node_killed(storm):
        storm.go()
    with disk_filled(storm) if storm.laptop.nodes.has_own_disk else _without_a_full_disk(storm):
        storm.go()
    with checkpoint_corrupted(storm), first_node_killed(storm):
        storm.go()
    with notice_given(storm):
        storm.go()
        report, said = storm.succeeds()
    assert "attempt 4 was stopped" in said
    assert all(f"attempt {number} failed" in said for number in (1, 2, 3))
    assert "is damaged; using the one before it" in said and "continuing from step 10" in said
    Result.of(report, storm.laptop).assert_same(undisturbed)


@contextlib.contextmanager
def _without_a_full_disk(storm: Scene) -> Iterator[None]:
    """The storm's other parts, where the cluster has no disk of its own; the report says what was left out."""
    warnings.warn("the storm is without its full disk: the machine's own is not to be filled", stacklevel=1)
    storm.ranks()
    yield


def test_a_job_that_was_lost_continues_when_its_command_is_typed_again(
    make: Callable[..., Scene], undisturbed: Result
) -> None:
    scene = make(points=[13, 8])
    scene.start()
    with driver_killed(scene):
        code, _, said = scene.end()
        scene.go()
    assert code != 0 and "continues from what is in the store" in said
    scene.start()
    with head_started_again(scene):
        code, _, said = scene.end()
        scene.go()
    assert code != 0 and "its head was started again" in said
    scene.start()
    report, said = scene.succeeds()
    assert "continuing from step 15" in said
    Result.of(report, scene.laptop).assert_same(undisturbed)
