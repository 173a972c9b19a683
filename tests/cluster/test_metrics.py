"""A job's metrics are at the ports that Ray's own service discovery names."""

from __future__ import annotations

import json
import urllib.request

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from cluster.jobs_api import _authorization
from tests.cluster.conftest import Laptop


def scraped(laptop: Laptop) -> list[Sample]:
    """What a Prometheus would read from every node now.

    The nodes are named first, then the autoscaler and the dashboard, whose ports all clusters of a machine share.
    """
    asked = urllib.request.Request(f"{laptop.nodes.jobs}/api/prometheus/sd", headers=_authorization())
    [found] = json.loads(urllib.request.urlopen(asked, timeout=10).read())
    nodes = found["targets"][: len(laptop.nodes.ids)]
    texts = [urllib.request.urlopen(f"http://{node}/metrics", timeout=10).read().decode() for node in nodes]
    return [sample for text in texts for family in text_string_to_metric_families(text) for sample in family.samples]


def test_a_training_can_be_scraped_with_its_labels(laptop: Laptop) -> None:
    laptop.spec("metered", train={"epochs": 3, "workers": 1, "checkpoint_every": 2})
    done = laptop.type("train", "metered.yaml", "--json")
    assert done.returncode == 0, done.stderr
    found = [sample for sample in scraped(laptop) if sample.labels.get("spec") == "metered"]
    report = json.loads(done.stdout)
    of_training = {
        s.name: s.value for s in found if s.labels["command"] == "train" and s.labels["run"] == report["run"]
    }
    assert of_training["ray_raymill_rows_total"] == 3 * report["dataset"]["rows"]["train"]
    assert of_training["ray_raymill_jobs_total"] == 1
    assert of_training["ray_raymill_epoch"] == 3
    assert {
        "ray_raymill_train_loss",
        "ray_raymill_validation_loss",
        "ray_raymill_step_seconds",
        "ray_raymill_checkpoint_seconds",
        "ray_raymill_checkpoint_bytes",
    } <= of_training.keys()
    prepared = [s for s in found if s.labels["command"] == "prepare" and s.name == "ray_raymill_rows_total"]
    assert sum(s.value for s in prepared) == 2 * sum(report["dataset"]["rows"].values())
