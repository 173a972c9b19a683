"""Every fault alone, in the first steps of a training, in the midst of an epoch, and in its last epoch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cluster.scene import (
    Deed,
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

pytestmark = [pytest.mark.faults, pytest.mark.long]
# No checkpoint yet; the middle of the second of four epochs; the middle of the last.
STEPS = (3, 13, 29)
CONTINUED = {3: None, 13: 10, 29: 25}


Tell = Callable[[Scene, str], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Puts into a report (--junitxml) what docs/faults.md tells: what was seen, and when training went on."""

    def record(scene: Scene, said: str) -> None:
        record_property("said", said)
        record_property("went_on_after_s", round(scene.went_on_after_s(), 1))

    return record


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("deed", [worker_killed, first_node_killed, other_node_killed])
def test_what_dies_of_a_training_is_replaced(
    make: Callable[..., Scene], undisturbed: Result, tell: Tell, deed: Deed, step: int
) -> None:
    scene = make(points=[step])
    scene.start()
    with deed(scene):
        scene.go()
    report, said = scene.succeeds()
    assert "attempt 1 failed" in said
    assert step == 3 or f"continuing from step {CONTINUED[step]}" in said
    tell(scene, said)
    Result.of(report, scene.laptop).assert_same(undisturbed)


@pytest.mark.parametrize("step", STEPS)
def test_a_notice_is_time_enough_for_a_checkpoint(
    make: Callable[..., Scene], undisturbed: Result, tell: Tell, step: int
) -> None:
    scene = make(points=[step])
    scene.start()
    with notice_given(scene):
        scene.go()
        report, said = scene.succeeds()
    assert "attempt 1 was stopped" in said and f"continuing from step {step}" in said
    tell(scene, said)
    Result.of(report, scene.laptop).assert_same(undisturbed)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("deed", [driver_killed, head_started_again])
def test_a_lost_job_continues_when_its_command_is_typed_again(
    make: Callable[..., Scene], undisturbed: Result, tell: Tell, deed: Deed, step: int
) -> None:
    scene = make(points=[step])
    scene.start()
    with deed(scene):
        code, _, lost = scene.end()
        scene.go()
    assert code != 0 and lost.count("error: ") == 1 and "Traceback" not in lost
    scene.start()
    report, said = scene.succeeds()
    assert step == 3 or f"continuing from step {CONTINUED[step]}" in said
    tell(scene, lost + said)
    Result.of(report, scene.laptop).assert_same(undisturbed)


@pytest.mark.parametrize("step", [8, 13, 29])
def test_a_damaged_checkpoint_is_not_used(
    make: Callable[..., Scene], undisturbed: Result, tell: Tell, step: int
) -> None:
    scene = make(points=[step])
    scene.start()
    with checkpoint_corrupted(scene), worker_killed(scene):
        scene.go()
    report, said = scene.succeeds()
    assert "is damaged; " + ("there is none before it" if step == 8 else "using the one before it") in said
    tell(scene, said)
    Result.of(report, scene.laptop).assert_same(undisturbed)


@pytest.mark.parametrize("step", STEPS)
def test_a_store_that_is_away_is_waited_for(
    make: Callable[..., Scene], undisturbed: Result, tell: Tell, step: int
) -> None:
    scene = make(points=[step])
    scene.start()
    with s3_stopped(30)(scene):
        scene.go()
    report, said = scene.succeeds()
    tell(scene, said)
    Result.of(report, scene.laptop).assert_same(undisturbed)


@pytest.mark.parametrize("step", STEPS)
def test_what_a_tracker_that_is_away_has_missed_is_sent_by_the_same_command(
    make: Callable[..., Scene], undisturbed: Result, tell: Tell, step: int
) -> None:
    scene = make(points=[step])
    scene.start()
    with mlflow_stopped(60)(scene):
        scene.go()
    _, said = scene.succeeds()
    tell(scene, said)
    scene.start()
    report, _ = scene.succeeds()
    Result.of(report, scene.laptop).assert_same(undisturbed)


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_stops_no_training(make: Callable[..., Scene], undisturbed: Result, tell: Tell, step: int) -> None:
    scene = make(points=[step, step + 3])
    if not scene.laptop.nodes.has_own_disk:
        pytest.skip("the cluster has no disk of its own here, and the machine's is not to be filled")
    scene.start()
    with disk_filled(scene):
        scene.go()
    scene.go()
    report, said = scene.succeeds()
    tell(scene, said)
    Result.of(report, scene.laptop).assert_same(undisturbed)


@pytest.mark.parametrize("deed", [worker_killed, first_node_killed])
def test_what_dies_of_an_evaluation_is_replaced(
    make: Callable[..., Scene], undisturbed: Result, tell: Tell, deed: Deed
) -> None:
    scene = make(points=[0], command="evaluate")
    scene.start()
    with deed(scene):
        scene.go()
    report, said = scene.succeeds()
    tell(scene, said)
    Result.of(report, scene.laptop).assert_same(undisturbed)


@pytest.mark.parametrize("deed", [driver_killed, head_started_again])
def test_a_lost_evaluation_is_made_when_its_command_is_typed_again(
    make: Callable[..., Scene], undisturbed: Result, tell: Tell, deed: Deed
) -> None:
    scene = make(points=[0], command="evaluate")
    scene.start()
    with deed(scene):
        code, _, lost = scene.end()
        scene.go()
    assert code != 0 and lost.count("error: ") == 1 and "Traceback" not in lost
    scene.start()
    report, said = scene.succeeds()
    assert "train     already done" in said
    tell(scene, lost + said)
    Result.of(report, scene.laptop).assert_same(undisturbed)
