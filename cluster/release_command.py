"""The release commands: `deploy --canary` and `--shadow`, and `release status`, `promote` and `rollback`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from cluster.by_name import by_name
from cluster.grammar import again
from cluster.output import Output
from cluster.own_session import own_session
from raymill.console import Console
from raymill.spec import Spec
from raymill.spec_text import load_spec


def deploy_beside(spec: Spec, arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    shadow = arguments.shadow is not None
    release = by_name("cluster.releasing:release")(
        spec, console, share=arguments.shadow if shadow else arguments.canary, shadow=shadow
    )
    if arguments.auto:
        with own_session(spec, console, debug=arguments.debug, needs_serve=True):
            release = by_name("cluster.releasing:follow")(spec, console)
    if release.state == "on":
        console.say(f"next:     raymill release status {again(arguments)}")
    return {"release": release.model_dump(mode="json")}


def act(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    spec = load_spec(arguments.spec, arguments.overrides)
    if arguments.on is not None:
        there = by_name("cluster.elsewhere:elsewhere")(arguments.on, console)
        by_name("cluster.elsewhere:require_store_here")(spec, there)
    if arguments.action == "promote":
        from cluster.endpoint import require

        require(spec)
        with own_session(spec, console, debug=arguments.debug, needs_serve=True):
            return {"endpoint": by_name("cluster.releasing:promote")(spec, console)}
    if arguments.action == "rollback":
        return {"release": by_name("cluster.releasing:roll_back")(spec, console).model_dump(mode="json")}
    standing = by_name("cluster.releasing:Standing").of(spec)
    if not arguments.json:
        output.text("".join(f"{line}\n" for line in standing.lines()))
    return {"release": standing.release.model_dump(mode="json"), "decision": asdict(standing.decision)}
