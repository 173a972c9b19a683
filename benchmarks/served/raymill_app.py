"""Serves a bundle as `raymill deploy` does, and with --echo an echo application beside it, until SIGTERM.

python benchmarks/served/raymill_app.py SPEC BUNDLE DIGEST PORT [--echo]
"""

from __future__ import annotations

import io
import signal
import sys

from cluster.endpoint import deploy_version
from cluster.session import open_session
from raymill.console import Console
from raymill.spec_text import load_spec


def main() -> None:
    spec_file, bundle, digest, port, *flags = sys.argv[1:]
    spec, console = load_spec(spec_file, [f"serve.port={port}"]), Console(io.StringIO())
    with open_session(console, needs_serve=True):
        deploy_version(spec, version=1, bundle_uri=bundle, digest=digest, console=console)
        if "--echo" in flags:
            _serve_echo()
        signal.pause()


def _serve_echo() -> None:
    from echo_app import Echo  # inside the session, whose settings Serve reads when it is imported
    from ray import serve

    serve.run(Echo.bind(), name="echo", route_prefix="/echo")


if __name__ == "__main__":
    main()
