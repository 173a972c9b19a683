"""One cluster of three nodes for all tests here, with S3 for its data and state and MLflow on PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.servers import Mlflow, Nodes, cluster_nodes, mlflow_server, of_a_terminal, s3_server

BUCKET = "mill-test"


@dataclass(frozen=True)
class Laptop:
    """A folder on a machine that reaches the cluster, with nothing in it but the specs that a test writes."""

    folder: Path
    nodes: Nodes
    env: Mapping[str, str]
    mlflow: Mlflow

    def spec(self, name: str, **sections: Any) -> None:
        """Writes NAME.yaml: breast cancer, data and state in the bucket."""
        document = {
            "name": name,
            "task": {"type": "classification", "target": "diagnosis"},
            "data": {"source": "bundled:breast_cancer"},
            "train": {"epochs": 3, "workers": 2},
            "store": f"s3://{BUCKET}/{name}",
            "tracking": self.mlflow.uri,
        }
        (self.folder / f"{name}.yaml").write_text(json.dumps(document | sections))

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "cluster.cli", *words, "--on", self.nodes.jobs]
        pipe = subprocess.PIPE
        env = of_a_terminal() | dict(self.env)
        return subprocess.Popen(command, cwd=self.folder, stdout=pipe, stderr=pipe, text=True, env=env)

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Types a raymill command and waits for its end."""
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=240)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope="package")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    folder = tmp_path_factory.mktemp("cluster")
    with (
        s3_server(folder / "s3", BUCKET) as env,
        mlflow_server(folder, f"s3://{BUCKET}/mlflow", env) as mlflow,
        cluster_nodes(3, 2, env) as nodes,
    ):
        (folder / "laptop").mkdir()
        yield Laptop(folder / "laptop", nodes, env, mlflow)
