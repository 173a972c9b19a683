"""What is refused before a job process starts on a cluster."""

from __future__ import annotations

import importlib.metadata
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.capacity import Capacity
from cluster.jobs_api import JobsApi
from cluster.preflight import Ask, asks_of, preflight, require_remote, require_same_versions
from raymill.console import Console
from raymill.errors import ResourceError, SpecError, StoreError
from raymill.spec import Spec
from tests.ports import free_port

RAY = importlib.metadata.version("ray")
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}.99"


def spec(**changes: Any) -> Spec:
    named = {
        "name": "far",
        "task": {"type": "regression", "target": "y"},
        "data": {"source": "s3://lake/t.csv"},
        "store": "s3://ml/raymill",
        "tracking": "http://mlflow:5000",
    }
    return Spec.model_validate(named | changes)


def test_a_walk_asks_for_pieces_workers_and_replicas_up_to_its_last_step() -> None:
    asked = spec(train={"workers": 3, "gpus_per_worker": 2}, serve={"replicas": {"min": 2, "max": 4}})
    piece = Ask(what="piece of work", cpus=0.5)
    workers = Ask(what="training worker", cpus=0.5, gpus=2, count=3)
    replicas = Ask(what="replica", cpus=0.5, count=2)
    assert asks_of(asked, "prepare") == asks_of(asked, "predict") == (piece,)
    assert asks_of(asked, "train") == asks_of(asked, "promote") == (piece, workers)
    assert asks_of(asked, "deploy") == (piece, workers, replicas)


def test_the_same_minor_versions_of_ray_and_python_are_asked_for() -> None:
    require_same_versions(RAY, PYTHON, "http://h")
    with pytest.raises(ResourceError, match=rf"http://h runs Ray 2\.9\.3, and raymill here runs with Ray {RAY}"):
        require_same_versions("2.9.3", PYTHON, "http://h")
    with pytest.raises(ResourceError, match=r"http://h runs Python 2\.7\.1, and raymill here runs with Python 3"):
        require_same_versions(RAY, "2.7.1", "http://h")


class Roomy(JobsApi):
    """A cluster with a large node, of this machine's versions."""

    def versions(self) -> tuple[str, str]:
        return RAY, PYTHON

    def capacity(self) -> Capacity:
        return Capacity(nodes=[{"CPU": 64.0}])


def test_a_store_that_says_no_is_refused_and_one_that_says_nothing_is_left_to_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    api, console = Roomy("http://h"), Console(said := io.StringIO())
    with pytest.raises(StoreError, match=r"^From here: Could not write .*file/below"):
        preflight(spec(), "train", [str(tmp_path), str(tmp_path / "file" / "below")], api, console)
    assert said.getvalue() == ""
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    preflight(spec(), "train", ["s3://ml/raymill"], api, console)
    assert said.getvalue().startswith("s3://ml/raymill can't be checked from here, so the job does that first: ")


def test_what_no_node_could_hold_is_refused_whatever_the_store_says() -> None:
    asked = spec(train={"workers": 2, "gpus_per_worker": 4})
    with pytest.raises(ResourceError, match=r"^One training worker asks for 0\.5 CPUs and 4 GPUs"):
        preflight(asked, "train", ["s3://never/asked"], Roomy("http://h"), Console(io.StringIO()))
    preflight(asked, "prepare", [], Roomy("http://h"), Console(io.StringIO()))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"data": {"source": "/here/t.csv"}}, "data.source"),
        ({"store": "/here"}, "store"),
        ({"tracking": "sqlite:////here/mlflow.db"}, "tracking"),
    ],
)
def test_a_path_of_this_machine_is_refused_by_its_key(changes: dict[str, Any], key: str) -> None:
    require_remote(spec(), "http://h:8265", {"--output": "s3://ml/scores"})
    with pytest.raises(SpecError, match=f"{key} is .*here.*, on this machine"):
        require_remote(spec(**changes), "http://h:8265", {})
    with pytest.raises(SpecError, match=r"--input is t\.csv, on this machine"):
        require_remote(spec(), "http://h:8265", {"--input": "t.csv"})
