"""Time from `raymill run` to the first HTTP answer, over the time of Ray's bare minimum of the same acts.

The limit is Ray's own fixed cost: a session, one Ray Data pass, two training workers and a Serve application have to
start, whatever is computed in them. Both sides are processes of their own, timed from their start to their first
answer; raymill's also fits, evaluates, tracks, gates and registers a real model with three baselines. They take turns
and the medians are compared, so that both meet the same machine.

    python benchmarks/time_to_endpoint.py [--rounds 3] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

RAY_MINIMUM = """
import sys
import ray
ray.init()
import ray.data
ray.data.read_parquet(sys.argv[1]).map_batches(lambda batch: batch).materialize()
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer
TorchTrainer(lambda: None, scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5})).fit()
from ray import serve
@serve.deployment(ray_actor_options={"num_cpus": 0.5})
class Empty:
    async def __call__(self, request): return "ok"
serve.start(http_options={"port": int(sys.argv[2])})
serve.run(Empty.bind())
import time
time.sleep(600)
"""
SPEC = """
name: breast-cancer
task: {type: classification, target: diagnosis}
data: {source: "bundled:breast_cancer"}
train: {workers: 2}
"""
_WITHIN_S = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as scratch:
        table = _table(Path(scratch))
        for turn in range(arguments.rounds):
            theirs.append(_ray_minimum(table))
            ours.append(_raymill(Path(scratch) / str(turn)))
    ratio = statistics.median(ours) / statistics.median(theirs)
    if arguments.json:
        print(json.dumps({"over_ray_minimum": round(ratio, 3)}))
        return
    print(f"raymill run    {' '.join(f'{s:6.1f}' for s in ours)} s")
    print(f"Ray's minimum  {' '.join(f'{s:6.1f}' for s in theirs)} s")
    print(f"ratio of medians {ratio:.2f}")


def _table(folder: Path) -> str:
    from raymill.bundled import materialise
    from raymill.store import Store

    return materialise("breast_cancer", Store(str(folder)))


def _ray_minimum(table: str) -> float:
    port = _free_port()
    command = [sys.executable, "-c", RAY_MINIMUM, table, str(port)]
    return _until_answer(command, f"http://127.0.0.1:{port}/", Path.cwd(), b"ok")


def _raymill(folder: Path) -> float:
    folder.mkdir()
    (folder / "spec.yaml").write_text(SPEC)
    port = _free_port()
    command = [sys.executable, "-m", "cluster.cli", "run", "spec.yaml", f"serve.port={port}"]
    return _until_answer(command, f"http://127.0.0.1:{port}/v1/breast-cancer", folder, b"breast-cancer")


def _until_answer(command: list[str], url: str, folder: Path, expected: bytes) -> float:
    """Seconds from a command's start to the first good answer at a URL; the command is then asked to end."""
    started_s = time.monotonic()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdout=quiet, stderr=quiet, env=_environment())
    try:
        while time.monotonic() - started_s < _WITHIN_S:
            if process.poll() is not None:
                raise RuntimeError(f"{command[:4]} ended with code {process.returncode} before it answered")
            if _answers(url, expected):
                return time.monotonic() - started_s
            time.sleep(0.05)
        raise RuntimeError(f"{command[:4]} did not answer within {_WITHIN_S:g} s")
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(url: str, expected: bytes) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return expected in response.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _environment() -> dict[str, str]:
    """The caller's, without what would change Ray's defaults."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


if __name__ == "__main__":
    main()
