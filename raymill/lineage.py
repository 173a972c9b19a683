"""Where a run's code came from."""

from __future__ import annotations

import os
import subprocess

COMMIT = "RAYMILL_GIT_COMMIT"  # set where a command is handed to a cluster, which has no repository


def git_commit() -> str | None:
    """The commit of where the command was typed, with `-dirty` where files differ; None outside a repository."""
    if COMMIT in os.environ:
        return os.environ[COMMIT]
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
