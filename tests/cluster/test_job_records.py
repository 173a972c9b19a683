"""What became of a job is answered by the store, where no cluster answers any more."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.cluster.laptop import Laptop
from tests.cluster.servers import of_a_terminal, s3_environment
from tests.ports import free_port


def without_cluster(laptop: Laptop, *words: str) -> subprocess.CompletedProcess[str]:
    """Types a command as it is, for the store or for an address where nobody listens."""
    command = [sys.executable, "-m", "cluster.cli", *words]
    env = of_a_terminal() | s3_environment(laptop.s3)
    return subprocess.run(command, cwd=laptop.folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def only_job(text: str) -> tuple[Any, ...]:
    """The id, state and exit code of the one job in a list."""
    (job,) = json.loads(text)["jobs"]
    return job["id"], job["state"], job["exit_code"]


def test_a_succeeded_and_a_failed_job_are_explained_when_their_cluster_is_gone(laptop: Laptop) -> None:
    nobody = ("--on", f"http://127.0.0.1:{free_port()}")
    laptop.spec("kept")
    assert laptop.type("prepare", "kept.yaml").returncode == 0
    assert only_job(laptop.type("list", "kept.yaml", "--json").stdout) == only_job(
        without_cluster(laptop, "list", "kept.yaml", "--json").stdout
    )
    explained = without_cluster(laptop, "explain", "kept.yaml", *nobody)
    assert "Nobody answers at" in explained.stderr
    assert "state     succeeded after" in explained.stdout and "result    s3://" in explained.stdout
    assert f"next      raymill train kept.yaml {' '.join(nobody)}" in explained.stdout
    assert "569 rows" in without_cluster(laptop, "logs", "kept.yaml").stdout

    laptop.spec("wrecked", task={"type": "classification", "target": "diagnosi"})
    assert laptop.type("prepare", "wrecked.yaml").returncode == 2
    explained = without_cluster(laptop, "explain", "wrecked.yaml")
    assert "cause     The table has no column 'diagnosi'" in explained.stdout
    assert "state     failed with exit code 2 after" in explained.stdout
    followed = without_cluster(laptop, "logs", "wrecked.yaml", "-f", *nobody)
    assert followed.returncode == 2
    assert "error: The table has no column 'diagnosi'" in followed.stderr
