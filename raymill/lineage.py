"""Where a run's code came from."""

from __future__ import annotations

import subprocess


def git_commit() -> str | None:
    """The commit of the working directory, with `-dirty` where files differ; None outside a repository."""
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
