"""Faults in the middle of a preparation: S3 stands still while they are done, so that nothing goes on meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow.csv import write_csv

from tests.cluster.laptop import BUCKET, Laptop
from tests.cluster.scene import processes_of, wait_for, words_of
from tests.cluster.servers import s3_client

pytestmark = [pytest.mark.faults, pytest.mark.long]
SOURCE = "flour"
_AT_WORK = "ray::Read"  # the title of a process that works on a piece
FILES, ROWS = 24, 14_000  # 50 MB: a dozen pieces


@dataclass(frozen=True)
class Preparation:
    """A preparation of a table in several files, into a store of its own."""

    laptop: Laptop
    store: str

    def start(self) -> subprocess.Popen[str]:
        source = {"source": f"s3://{BUCKET}/{SOURCE}/"}
        task = {"type": "classification", "target": "y"}
        self.laptop.spec("flour", task=task, data=source, store=f"s3://{BUCKET}/{self.store}")
        return self.laptop.start("prepare", "flour.yaml", "--json")

    def objects(self) -> dict[str, str]:
        """The ETags of the dataset's shards, by their names."""
        found = s3_client(self.laptop.s3).list_objects_v2(Bucket=BUCKET, Prefix=f"{self.store}/datasets/")
        names = {o["Key"].removeprefix(self.store): o["ETag"] for o in found.get("Contents", [])}
        return {name: tag for name, tag in names.items() if name.endswith(".parquet")}

    @contextmanager
    def in_the_middle(self, of: dict[str, str]) -> Iterator[None]:
        """From the first of these shards on S3 answers nobody in the block."""
        wait_for(lambda: bool(self.objects()), "no shard was written")
        self.laptop.s3.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.laptop.s3.signal(signal.SIGCONT)
        assert len(self.objects()) < len(of), "all shards were there before the fault"


def worker_killed(laptop: Laptop) -> None:
    at_work = [p for p in processes_of(laptop.nodes) if words_of(p)[0].startswith(_AT_WORK)]
    at_work[0].kill()


def node_killed(laptop: Laptop) -> None:
    laptop.nodes.kill(laptop.nodes.ids[1])
    laptop.nodes.add()


def driver_killed(laptop: Laptop) -> None:
    words = [(p, words_of(p)) for p in processes_of(laptop.nodes)]
    (driver,) = (p for p, said in words if "jobs.prepare" in said and said[0] != "/bin/sh")
    driver.kill()


def head_started_again(laptop: Laptop) -> None:
    laptop.nodes.restart()


@pytest.fixture(scope="module")
def source(laptop: Laptop) -> None:
    draw = np.random.default_rng(3)
    for index in range(FILES):
        numbers = draw.normal(size=(8, ROWS))
        table = pa.table({f"x{column}": values for column, values in enumerate(numbers)} | {"y": numbers[0] > 0})
        with pa.BufferOutputStream() as text:
            write_csv(table, text)
        s3_client(laptop.s3).put_object(
            Bucket=BUCKET, Key=f"{SOURCE}/{index:02d}.csv", Body=text.getvalue().to_pybytes()
        )


@pytest.fixture(scope="module")
def calm(laptop: Laptop, source: None) -> tuple[Any, dict[str, str]]:
    """The dataset, and the shards, of an undisturbed preparation."""
    preparation = Preparation(laptop, "prepare-calm")
    report, _ = _succeeded(preparation.start())
    return _known(report), preparation.objects()


@pytest.mark.parametrize("deed", [worker_killed, node_killed])
def test_what_dies_of_a_preparation_is_replaced(
    laptop: Laptop, calm: tuple[Any, dict[str, str]], deed: Callable[[Laptop], None]
) -> None:
    preparation = Preparation(laptop, f"prepare-{uuid.uuid4().hex[:8]}")
    process = preparation.start()
    with preparation.in_the_middle(calm[1]):
        deed(laptop)
    report, _ = _succeeded(process)
    assert (_known(report), preparation.objects()) == calm


@pytest.mark.parametrize("deed", [driver_killed, head_started_again])
def test_a_lost_preparation_is_made_when_its_command_is_typed_again(
    laptop: Laptop, calm: tuple[Any, dict[str, str]], deed: Callable[[Laptop], None]
) -> None:
    preparation = Preparation(laptop, f"prepare-{uuid.uuid4().hex[:8]}")
    process = preparation.start()
    with preparation.in_the_middle(calm[1]):
        deed(laptop)
    _, said = process.communicate()
    assert process.returncode != 0 and said.count("error: ") == 1
    report, _ = _succeeded(preparation.start())
    assert (_known(report), preparation.objects()) == calm


def _succeeded(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out), err


def _known(report: dict[str, Any]) -> Any:
    return report["dataset"]["fingerprint"], report["dataset"]["rows"]
