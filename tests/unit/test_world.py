"""The number of workers changes who computes, never what: the same losses in worlds of one, two and three."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from raymill.checkpoint import Checkpoints
from raymill.store import Store
from raymill.world import World
from tests.fakes import FakePrepared
from tests.recipes import Training, spec_of

ROWS, VALIDATION_ROWS, EPOCHS, STOP_AT = 1003, 77, 4, 17
CASES = [(kind, precision) for kind in ("classification", "regression") for precision in ("float64", "float32")]
Losses = list[tuple[float, float]]


def training(kind: str, precision: str, checkpoints: Path | None = None, stop_at: int | None = None) -> Training:
    return Training(
        spec=spec_of(kind=kind, precision=precision, epochs=EPOCHS, optimizer={"weight_decay": 0.01}),
        prepared=FakePrepared(ROWS, VALIDATION_ROWS, kind),
        checkpoints=Checkpoints(Store(str(checkpoints)), "") if checkpoints else None,
        stop_at=stop_at,
    )


def results(folder: Path) -> dict[str, Any]:
    """What this world makes of each case, of the rest of a training begun alone, and of the first part of one."""
    found: dict[str, Any] = {}
    for kind, precision in CASES:
        case = training(kind, precision)
        case.run()
        found[f"{kind} {precision}"] = case.losses
        found["rows"] = [record.rows for record in case.epochs]
    resumed = training("regression", "float64", folder / "begun")
    resumed.run()
    found["resumed"] = resumed.losses
    leads = World.current(torch.device("cpu")).leads
    stopped = training("regression", "float64", folder / "stopped", STOP_AT if leads else None)
    found["stopped"] = [stopped.run().status, stopped.steps]
    return found


def one_rank(rank: int, size: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    found = results(folder)
    if rank == 0:
        (folder / "results.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def begin_alone(folder: Path) -> None:
    assert training("regression", "float64", folder, STOP_AT).run().status == "interrupted"


def together(size: int, folder: Path, begun: Path) -> dict[str, Any]:
    folder.mkdir()
    shutil.copytree(begun, folder / "begun")
    multiprocessing.set_forkserver_preload(["torch._dynamo", __name__])  # imported once for all ranks
    mp.start_processes(one_rank, (size, folder), nprocs=size, start_method="forkserver")
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def worst_difference(found: Losses, expected: Losses, epochs: int = EPOCHS) -> float:
    pairs = zip(torch.tensor(found[:epochs]).double(), torch.tensor(expected[:epochs]).double(), strict=True)
    return max(float(((a - b).abs() / b.abs()).max()) for a, b in pairs)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, dict[str, Any]]]:
    """The folder and the results of a world of each size."""
    root = tmp_path_factory.mktemp("worlds")
    begin_alone(root / "begun")
    shutil.copytree(root / "begun", root / "1" / "begun")
    found = {1: (root / "1", json.loads(json.dumps(results(root / "1"))))}
    return found | {size: (root / str(size), together(size, root / str(size), root / "begun")) for size in (2, 3)}


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_losses_do_not_depend_on_the_number_of_workers(worlds, size: int, kind: str) -> None:
    alone, found = worlds[1][1], worlds[size][1]
    assert len(alone[f"{kind} float64"]) == EPOCHS
    assert worst_difference(found[f"{kind} float64"], alone[f"{kind} float64"]) < 1e-9
    assert worst_difference(found[f"{kind} float32"], alone[f"{kind} float32"], epochs=2) < 1e-4


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_row_is_counted_once_an_epoch(worlds, size: int) -> None:
    assert worlds[size][1]["rows"] == [ROWS] * EPOCHS


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_training_begun_alone_continues_in_a_world_of_any_size(worlds, size: int) -> None:
    expected = worlds[1][1]["regression float64"]
    found = worlds[size][1]["resumed"]
    done = EPOCHS - len(found)
    assert done == STOP_AT // 11
    assert worst_difference(found, expected[done:]) < 1e-9


@pytest.mark.parametrize("size", [1, 2, 3])
def test_one_rank_asked_to_stop_stops_all_after_the_same_step(worlds, size: int) -> None:
    assert worlds[size][1]["stopped"] == ["interrupted", STOP_AT]


@pytest.mark.parametrize("size", [2, 3])
def test_a_training_begun_by_many_continues_alone(worlds, size: int) -> None:
    rest = training("regression", "float64", worlds[size][0] / "stopped")
    rest.run()
    assert worst_difference(rest.losses, worlds[1][1]["regression float64"][1:]) < 1e-9


def test_a_world_of_one_sums_to_what_it_has() -> None:
    assert World(device=torch.device("cpu")).sums([1.5, 2.0]) == [1.5, 2.0]


def test_a_parameter_without_a_gradient_gets_a_zero_one() -> None:
    unused = torch.nn.Parameter(torch.ones(3))
    World(device=torch.device("cpu")).sum_step([unused], torch.tensor(1.0), stop=False)
    assert torch.equal(unused.grad, torch.zeros(3))
