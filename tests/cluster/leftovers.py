"""What tests must not leave: processes, temporary files and sockets, living actors."""

from __future__ import annotations

import contextlib
import json
import os
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from cluster.jobs_api import _authorization
from tests.cluster.servers import Nodes

_MARK = "RAYMILL_TESTS"
_WITHIN_S = 60.0
# One of each on a cluster, whoever uses Ray Data there, for as long as it is up.
_OF_RAY_DATA = ("_AutoscalingCoordinatorActor AutoscalingCoordinator", "_StatsActor datasets_stats_actor")
# Ray's own session, and what Python and torch make beside it.
_FOREIGN = ("pymp-", "torchinductor_")


@contextlib.contextmanager
def no_process_left() -> Iterator[None]:
    """Whatever is started in the block, and by what is, has ended within a minute of it, also what is detached."""
    mark = uuid.uuid4().hex
    os.environ[_MARK] = mark
    try:
        yield
    finally:
        del os.environ[_MARK]
    _, alive = psutil.wait_procs(_marked(mark), timeout=_WITHIN_S)
    assert not alive, [process.cmdline() for process in alive]


def assert_clean(nodes: Nodes) -> None:
    """Within a minute no actor lives on the cluster but Ray Data's own two, and nothing of ours is on its disk."""
    until_s = time.monotonic() + _WITHIN_S
    while (left := _living_actors(nodes) + _files(nodes)) and time.monotonic() < until_s:
        time.sleep(0.5)
    assert not left, left


def no_empty_folder(client: Any, bucket: str) -> None:
    """A bucket has none: what marks one is an object that nobody removes."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    assert not [key for key in keys if key.endswith("/")]


def _marked(mark: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _environment(process).get(_MARK) == mark]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:  # ended meanwhile, or somebody else's
        return {}


def _files(nodes: Nodes) -> list[str]:
    disk = Path(f"/proc/{nodes.process.pid}/root{nodes.disk}")
    return [file.name for file in disk.iterdir() if file.name != "ray" and not file.name.startswith(_FOREIGN)]


def _living_actors(nodes: Nodes) -> list[str]:
    request = urllib.request.Request(f"{nodes.jobs}/api/v0/actors?limit=1000", headers=_authorization())
    with urllib.request.urlopen(request, timeout=30) as answer:
        actors = json.load(answer)["data"]["result"]["result"]
    alive = [f"{actor['class_name']} {actor['name']}" for actor in actors if actor["state"] != "DEAD"]
    return [actor for actor in alive if actor not in _OF_RAY_DATA]
