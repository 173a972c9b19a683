"""A machine that reaches a cluster: what is typed there runs on the cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.servers import Mlflow, Nodes, of_a_terminal, s3_environment
from tests.s3.server import Server

BUCKET = "mill-test"


@dataclass(frozen=True)
class Laptop:
    """A folder on a machine that reaches the cluster, with nothing in it but the specs that a test writes."""

    folder: Path
    nodes: Nodes
    s3: Server
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

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Types a raymill command, with more in its environment, and returns at once."""
        command = [sys.executable, "-m", "cluster.cli", *words, "--on", self.nodes.jobs]
        pipe = subprocess.PIPE
        named = of_a_terminal() | s3_environment(self.s3) | dict(env or {})
        return subprocess.Popen(command, cwd=self.folder, stdout=pipe, stderr=pipe, text=True, env=named)

    def type(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Types a raymill command and waits for its end."""
        process = self.start(*words, env=env)
        try:
            out, err = process.communicate(timeout=240)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)
