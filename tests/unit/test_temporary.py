"""What a killed process leaves in its temporary folder is gone with the next one's."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from raymill.temporary import sweep, temporary_folder

_HOLD = """
import tempfile
tempfile.tempdir = {folder!r}
from raymill.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "half").write_text("x")
    print(folder, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_it_is_empty_and_vanishes(tmp_path: Path) -> None:
    with temporary_folder() as folder:
        assert list(folder.iterdir()) == []
        (folder / "file").write_text("x")
        sweep(young_s=0)
        assert (folder / "file").exists()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "raymill-of-somebody").mkdir()
    command = [sys.executable, "-c", _HOLD.format(folder=str(tmp_path))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        left = Path(holder.stdout.readline().strip())
        sweep(young_s=0)
        assert (left / "half").exists()
        holder.send_signal(signal.SIGKILL)
    with temporary_folder():
        assert left.exists(), "it is too young to be judged"
    sweep(young_s=0)
    assert [path.name for path in tmp_path.iterdir()] == ["raymill-of-somebody"]
