"""The undeploy job: the live endpoint ends."""

from __future__ import annotations

import sys


def main() -> None:
    """`python -m jobs.undeploy SPEC [key=value ...]`."""
    from cluster.cli import main as command

    sys.exit(command(["undeploy", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
