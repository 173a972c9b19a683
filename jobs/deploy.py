"""The deploy job: the champion's bundle becomes, or replaces, a live endpoint."""

from __future__ import annotations

import sys

from cluster.endpoint import Endpoint, deploy_version
from cluster.front import Front
from raymill.champion import find_champion
from raymill.console import Console
from raymill.errors import DataError
from raymill.registry import Version
from raymill.spec import Spec


def deploy(spec: Spec, console: Console, front: Front | None = None, champion: Version | None = None) -> Endpoint:
    """Serves the champion; a running endpoint changes its version without a failed request.

    `front` is Serve where it was started earlier, beside other work, `champion` the one that was just found. Raises
    DataError where nothing has been promoted yet, and TrackerError at once where MLflow can't be asked who it is.
    """
    champion = champion or find_champion(spec, waits_s=0.0)
    if champion is None:
        raise DataError(
            f"{spec.name} has no champion to serve: the gate has promoted no version.",
            "Type `raymill promote SPEC` and read what the gate says.",
        )
    return deploy_version(
        spec,
        version=champion.number,
        bundle_uri=champion.bundle_uri,
        digest=champion.digest,
        run_id=champion.run_id,
        console=console,
        front=front,
    )


def main() -> None:
    """`python -m jobs.deploy SPEC [key=value ...]`."""
    from cluster.cli import main as command

    sys.exit(command(["deploy", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
