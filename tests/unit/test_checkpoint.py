"""Checkpoints are whole or not there, and the newest that verifies is used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raymill.checkpoint import Checkpoint, Checkpoints, Saved
from raymill.errors import StoreError
from raymill.store import Store


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(Store(str(tmp_path)), "runs/r/checkpoints")


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step=step, tensors={"w": torch.full((2, 3), float(step))}, facts={"epoch": step // 10})


def names(checkpoints: Checkpoints) -> list[Path]:
    return sorted(Path(checkpoints.store.uri, checkpoints.folder).iterdir())


def test_without_a_checkpoint_there_is_none(checkpoints: Checkpoints) -> None:
    assert checkpoints.newest() == (None, [])


def test_a_checkpoint_comes_back_as_it_was(checkpoints: Checkpoints) -> None:
    tensors = {
        "half": torch.randn(3, dtype=torch.bfloat16),
        "double": torch.randn(4, 2, dtype=torch.float64),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 5),
    }
    facts = {"step": 3, "loss": 0.1 + 0.2, "best": float("inf"), "stopped": False}
    checkpoints.write(Checkpoint(step=42, tensors=tensors, facts=facts))
    found, torn = checkpoints.newest()
    assert found is not None and (found.step, found.facts, torn) == (42, facts, [])
    assert all(torch.equal(found.tensors[name], tensors[name]) for name in tensors)


def test_what_the_newest_took_to_write_is_known(checkpoints: Checkpoints) -> None:
    assert checkpoints.saved == Saved()
    checkpoints.write(checkpoint(10))
    assert checkpoints.saved.size_bytes == names(checkpoints)[0].stat().st_size
    assert checkpoints.saved.seconds > 0


def test_the_newest_two_are_kept(checkpoints: Checkpoints) -> None:
    for step in (5, 10, 15, 1000):
        checkpoints.write(checkpoint(step))
    assert [path.name[:15] for path in names(checkpoints)] == ["step-0000000015", "step-0000001000"]


def test_views_and_shared_memory_are_stored_whole(checkpoints: Checkpoints) -> None:
    shared = torch.arange(6.0).view(2, 3)
    checkpoints.write(Checkpoint(step=1, tensors={"a": shared, "b": shared, "t": shared.t()}, facts={}))
    found, _ = checkpoints.newest()
    assert found is not None
    assert torch.equal(found.tensors["b"], shared)
    assert torch.equal(found.tensors["t"], shared.t())


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:-1] + b"!"])
def test_a_damaged_newest_one_is_named_and_the_one_before_it_is_used(checkpoints: Checkpoints, damage) -> None:
    checkpoints.write(checkpoint(10))
    checkpoints.write(checkpoint(20))
    newest = names(checkpoints)[-1]
    newest.write_bytes(damage(newest.read_bytes()))
    found, torn = checkpoints.newest()
    assert found is not None and found.step == 10
    assert torn == [f"runs/r/checkpoints/{newest.name}"]


def test_when_all_are_damaged_all_are_named_and_there_is_none(checkpoints: Checkpoints) -> None:
    for step in (10, 20):
        checkpoints.write(checkpoint(step))
    for path in names(checkpoints):
        path.write_bytes(b"torn")
    found, torn = checkpoints.newest()
    assert found is None and len(torn) == 2


def test_half_written_and_foreign_files_are_no_checkpoints(checkpoints: Checkpoints) -> None:
    checkpoints.write(checkpoint(10))
    folder = Path(checkpoints.store.uri, checkpoints.folder)
    (folder / "step-0000000020-0123456789abcdef.safetensors.1234.partial").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    found, torn = checkpoints.newest()
    assert found is not None and (found.step, torn) == (10, [])
    checkpoints.write(checkpoint(30))
    checkpoints.write(checkpoint(40))
    assert (folder / "notes.txt").exists()


def test_a_store_that_cannot_be_read_is_an_error_and_not_a_fresh_start(checkpoints: Checkpoints) -> None:
    class Unreadable(Store):
        def read_bytes(self, path: str) -> bytes:
            raise StoreError(f"Could not read {path}.", "Wait.")

    checkpoints.write(checkpoint(10))
    with pytest.raises(StoreError, match="step-0000000010"):
        Checkpoints(Unreadable(checkpoints.store.uri), checkpoints.folder).newest()
