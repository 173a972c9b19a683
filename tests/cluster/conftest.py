"""One cluster of three nodes for all tests here, with S3 for its data and state and MLflow on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.laptop import BUCKET, Laptop
from tests.cluster.leftovers import assert_clean, no_empty_folder, no_process_left
from tests.cluster.scene import Result, Scene
from tests.cluster.servers import cluster_nodes, mlflow_server, s3_client, s3_environment, s3_server


@pytest.fixture(scope="package")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    folder = tmp_path_factory.mktemp("cluster")
    with (
        no_process_left(),
        s3_server(folder / "s3", BUCKET) as s3,
        mlflow_server(folder, f"s3://{BUCKET}/mlflow", s3_environment(s3)) as mlflow,
        cluster_nodes(3, 2, s3_environment(s3)) as nodes,
    ):
        (folder / "laptop").mkdir()
        yield Laptop(folder / "laptop", nodes, s3, mlflow)
        assert_clean(nodes)
        no_empty_folder(s3_client(s3), BUCKET)


@pytest.fixture
def make(laptop: Laptop, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes scenes; whoever still waits in one when the test ends is let go."""
    made: list[Scene] = []

    def scene(**parts: object) -> Scene:
        made.append(Scene(laptop, tmp_path, **parts))
        return made[-1]

    yield scene
    for each in made:
        each.close()


@pytest.fixture(scope="package")
def undisturbed(laptop: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """What the scenes' training leaves without a fault."""
    scene = Scene(laptop, tmp_path_factory.mktemp("calm"), points=[], command="evaluate")
    scene.start()
    report, _ = scene.succeeds()
    return Result.of(report, laptop)
