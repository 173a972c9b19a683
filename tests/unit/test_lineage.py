"""A run's code is named by its commit, where there is one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from raymill.lineage import COMMIT, git_commit


def git(*words: str) -> str:
    author = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", *words], check=True, capture_output=True, text=True, env=os.environ | author)
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def test_outside_a_repository_there_is_no_commit(folder: Path) -> None:
    assert git_commit() is None


def test_a_commit_is_named_in_full_and_a_change_beside_it_too(folder: Path) -> None:
    git("init")
    (folder / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "first")
    head = git("rev-parse", "HEAD")
    git("tag", "v1")
    assert git_commit() == head
    (folder / "a").write_text("2")
    assert git_commit() == f"{head}-dirty"


def test_without_git_there_is_no_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert git_commit() is None


def test_on_a_cluster_it_is_the_commit_that_the_command_was_typed_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMMIT, "c0ffee")
    assert git_commit() == "c0ffee"
