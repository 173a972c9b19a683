"""What can't work on a cluster is refused before a job process starts there."""

from __future__ import annotations

import time

from cluster.jobs_api import JobsApi
from cluster.submission import package_of
from raymill.spec_text import load_spec
from tests.cluster.conftest import Laptop


def test_gpus_that_no_node_has_are_refused_before_a_job_starts_and_faster_than_an_empty_one_ends(
    laptop: Laptop,
) -> None:
    laptop.spec("gpus", train={"workers": 2, "gpus_per_worker": 4})
    api = JobsApi(laptop.nodes.jobs)
    known = api.jobs()
    began_s = time.monotonic()
    refused = laptop.type("train", "gpus.yaml")
    refused_s = time.monotonic() - began_s
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 2)
    assert refused.stderr.startswith(
        "error: One training worker asks for 0.5 CPUs and 4 GPUs, and no node has them: the largest of 3 has "
    )
    assert "0 GPUs; there is no autoscaler.\n" in refused.stderr
    assert api.jobs() == known
    began_s = time.monotonic()
    package = api.upload(package_of(load_spec(str(laptop.folder / "gpus.yaml"), [])))
    api.submit("true", id="empty", package=package, metadata={}, env={})
    while not (job := api.job("empty")) or not job.has_ended:
        time.sleep(0.01)
    assert job.status == "SUCCEEDED"
    assert refused_s / (time.monotonic() - began_s) < 1


def test_a_store_that_cant_be_written_is_refused_before_a_job_starts(laptop: Laptop) -> None:
    laptop.spec("homeless", store="s3://mill-nobodys/x")
    api = JobsApi(laptop.nodes.jobs)
    known = api.jobs()
    refused = laptop.type("prepare", "homeless.yaml")
    assert (refused.returncode, refused.stderr.count("\n")) == (3, 2)
    assert refused.stderr.startswith("error: From here: There is no bucket s3://mill-nobodys at http://")
    assert api.jobs() == known


def test_what_a_laptop_cant_see_is_left_to_the_job_which_says_from_where(laptop: Laptop) -> None:
    laptop.spec("unseen", store="s3://mill-nobodys/x", tracking="http://127.0.0.1:9")
    blind = laptop.type("train", "unseen.yaml", env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert blind.returncode == 3
    assert "s3://mill-nobodys/x can't be checked from here, so the job does that first" in blind.stderr
    (error,) = (line for line in blind.stderr.splitlines() if line.startswith("error: "))
    assert ", where the job runs on the cluster: There is no bucket s3://mill-nobodys" in error
    assert "MLflow at http://127.0.0.1:9 doesn't answer" in error
