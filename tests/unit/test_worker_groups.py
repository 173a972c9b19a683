"""What a worker group's pods hold, and what they could never hold."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.preflight import Ask, asks_of
from cluster.worker_groups import WorkerGroup, require_room, resources_of
from raymill.errors import ResourceError
from tests.ray_clusters import group, spec_in_a_bucket

HEAD = {"CPU": 0.0, "GPU": 0.0}


@pytest.mark.parametrize(
    ("change", "cpus", "gpus"),
    [
        ({}, 4, 0),
        ({"rayStartParams": {"num-cpus": "2"}}, 2, 0),
        ({"rayStartParams": {"num-gpus": "1"}}, 4, 1),
        ({"resources": {"CPU": "3", "GPU": "2"}}, 3, 2),
    ],
)
def test_a_pod_has_what_ray_counts_in_it(change: dict[str, Any], cpus: float, gpus: float) -> None:
    assert resources_of(group("cpu", "4", 8) | change) == {"CPU": cpus, "GPU": gpus}


def test_a_part_of_a_cpu_counts_as_one_and_gpus_are_found_under_any_maker() -> None:
    assert resources_of(group("cpu", "2500m", 8)) == {"CPU": 3, "GPU": 0}
    assert resources_of(group("gpu", "4", 8, **{"amd.com/gpu": "2"})) == {"CPU": 4, "GPU": 2}
    declared = group("cpu", "4", 8)
    del declared["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert resources_of(declared)["CPU"] == 1


def test_pods_are_counted_by_how_many_processes_each_holds() -> None:
    pods = WorkerGroup.of(group("cpu", "4", 8))
    assert [pods.pods_for(1.5, 0, count) for count in (1, 2, 3, 20)] == [1, 1, 2, 8]
    assert pods.pods_for(5, 0, 1) == 8


def test_a_worker_that_fits_no_pod_is_refused_with_the_numbers() -> None:
    groups = [WorkerGroup.of(group("cpu", "4", 2))]
    with pytest.raises(ResourceError, match=r"One training worker asks for 7 CPUs.*autoscaler may add has 4 CPUs"):
        require_room(groups, HEAD, asks_of(spec_in_a_bucket(train={"cpus_per_worker": 7}), "train"), "here")
    with pytest.raises(ResourceError, match=r"5 training workers ask for 3 CPUs.*and for 2 more"):
        require_room(groups, HEAD, [Ask(what="training worker", cpus=3, count=5)], "here")
    require_room(groups, HEAD, asks_of(spec_in_a_bucket(train={"workers": 8, "cpus_per_worker": 1}), "train"), "here")


def test_a_gpu_without_a_group_for_it_says_what_there_is() -> None:
    groups = [WorkerGroup.of(group("cpu", "4", 8))]
    with pytest.raises(ResourceError) as caught:
        require_room(groups, HEAD, asks_of(spec_in_a_bucket(train={"gpus_per_worker": 1}), "train"), "k8s/overlays/cpu")
    assert caught.value.what == (
        "One training worker asks for 1 GPU, and k8s/overlays/cpu has no worker group gpu, "
        "only cpu with 4 CPUs a pod, up to 8 pods."
    )
    assert "k8s/components/gpu" in caught.value.fix
