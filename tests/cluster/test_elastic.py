"""An elastic training loses a node, takes one that comes, and gives way to another job; its losses don't change."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster.jobs_api import JobsApi
from tests.cluster.scene import Result, Scene, wait_for, wait_for_a_stop

pytestmark = [pytest.mark.faults, pytest.mark.long]
FLOAT64 = {"epochs": 4, "batch_size": 64, "checkpoint_every": 5, "cpus_per_worker": 1.5, "precision": "float64"}
ASKS = (
    "import ray; ray.init(log_to_driver=False); print(ray.get(ray.remote(num_cpus=1.5)(lambda: 'had room').remote()))"
)
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


def test_an_elastic_training_shrinks_grows_and_gives_way_with_the_same_losses(
    make: Callable[..., Scene],
) -> None:
    # Dropout draws by rank: with it the losses depend on the number of workers.
    calm = make(points=[], dropout=0.0, train=FLOAT64 | {"workers": 1})
    calm.start()
    undisturbed = Result.of(calm.succeeds()[0], calm.laptop)

    scene = make(points=[8, 4, 4], dropout=0.0, train=FLOAT64 | {"workers": {"min": 1, "max": 2}})
    nodes, api = scene.laptop.nodes, JobsApi(scene.laptop.nodes.jobs)
    scene.start()
    nodes.kill(scene.ranks(elastic=2)[-1]["node"])
    scene.go()
    scene.ranks(elastic=1)
    nodes.add()
    wait_for_a_stop(scene, "nobody took the node that came")
    scene.go()
    scene.ranks(elastic=2)
    api.submit(f'python -c "{ASKS}"', id="asks", package=api.upload(EMPTY_ZIP), metadata={}, env={})
    wait_for_a_stop(scene, "nobody gave way")
    scene.go()
    wait_for(lambda: api.job("asks").has_ended, "the other job got no room")
    assert api.job("asks").status == "SUCCEEDED"
    report, said = scene.succeeds()
    for told in ("attempt 1 failed", "attempt 2 was stopped (there is room for more)", "(another job waits for room)"):
        assert told in said, said
    Result.of(report, scene.laptop).assert_same(undisturbed, relative=1e-9)
