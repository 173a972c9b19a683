"""Commands that are carried out here: a session, a job in it, and an endpoint that is held until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from cluster.by_name import by_name
from cluster.grammar import again
from cluster.output import Output
from cluster.own_session import WALK, own_session
from cluster.release_command import deploy_beside
from raymill.console import Console
from raymill.spec import Spec

STEPS = ("prepare", "train", "evaluate", "promote")
_SAMPLE_ROWS = 3


def run(spec: Spec, arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    last = "promote" if arguments.no_serve else "deploy"
    if last == "deploy":
        _require_usable(spec, asks=arguments.once)
    with own_session(spec, console, debug=arguments.debug, needs_serve=last == "deploy") as session:
        walked = by_name(WALK)(spec, last, console)
        report: dict[str, Any] = {"endpoint": None} | walked.report()
        if walked.endpoint is None:
            _tell_no_endpoint(arguments, walked.promotion.champion, console)
        elif arguments.once:
            report["answers"] = _ask_once(walked, spec, console)
            if session.joined and walked.endpoint.is_new:
                _take_down(spec, console)
        else:
            output.report(report)
            _hold(walked.endpoint, spec, session, console)
    return report


def step(spec: Spec, arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    with own_session(spec, console, debug=arguments.debug, needs_serve=False):
        walked = by_name(WALK)(spec, arguments.command, console)
    report: dict[str, Any] = walked.report()
    if arguments.command == "promote":
        _tell_no_endpoint(arguments, walked.promotion.champion, console)
    else:
        console.say(f"next:     raymill {STEPS[STEPS.index(arguments.command) + 1]} {again(arguments)}")
    return report


def deploy(spec: Spec, arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    if arguments.canary is not None or arguments.shadow is not None:
        return deploy_beside(spec, arguments, console)
    _require_usable(spec)
    with own_session(spec, console, debug=arguments.debug, needs_serve=True) as session:
        endpoint = by_name("jobs.deploy:deploy")(spec, console)
        report = {"endpoint": endpoint.url, "model": {"name": spec.name, "version": int(endpoint.version)}}
        output.report(report)
        _hold(endpoint, spec, session, console)
    return report


def undeploy(spec: Spec, arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    from cluster.endpoint import require

    require(spec)
    with own_session(spec, console, debug=arguments.debug, needs_serve=True):
        _take_down(spec, console)
    return {"endpoint": None}


def predict(spec: Spec, arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    from cluster.reach import require_writable

    require_writable(arguments.output)
    with own_session(spec, console, debug=arguments.debug, needs_serve=False):
        predicted = by_name("jobs.predict:predict")(spec, arguments.input, arguments.output, console)
    return {"output": predicted.uri, "rows": predicted.rows, "model": {"name": spec.name, "version": predicted.version}}


def _require_usable(spec: Spec, *, asks: bool = False) -> None:
    """Raises what would keep the endpoint from being served, before anything is computed for it."""
    from cluster.exposure import callers_token, require_usable

    require_usable(spec.serve, os.environ)
    if asks:
        callers_token(spec.serve, os.environ)


def _ask_once(walked: Any, spec: Spec, console: Console) -> list[Any]:
    """Answers to a few test rows, in the columns of the bundle that is served, which may be an older one's."""
    from cluster.exposure import callers_token
    from cluster.sample import ask, first_test_rows, rows_as_json
    from raymill.bundle import Bundle

    champion, endpoint, url = walked.promotion.champion, walked.endpoint, walked.endpoint.predict_url
    rows = rows_as_json(
        Bundle.read(champion.bundle_uri, champion.digest).schema, first_test_rows(walked.prepared, _SAMPLE_ROWS)
    )
    answer = ask(url, rows, token=callers_token(spec.serve, os.environ), certificate=endpoint.certificate)
    console.say(f"POST {url}")
    for prediction in answer["predictions"]:
        console.say(f"          {json.dumps(prediction)}")
    return list(answer["predictions"])


def _hold(endpoint: Any, spec: Spec, session: Any, console: Console) -> None:
    from cluster.endpoint import hold

    if session.joined:
        return
    console.say(f"serving   {spec.name} at {endpoint.url} until Ctrl-C")
    hold(spec, console)


def _take_down(spec: Spec, console: Console) -> None:
    from cluster.endpoint import undeploy

    undeploy(spec, console)


def _tell_no_endpoint(arguments: argparse.Namespace, champion: Any, console: Console) -> None:
    if champion is None:
        console.say("no endpoint: the gate has promoted no version")
    else:
        console.say(f"next:     raymill deploy {again(arguments)}   # version {champion.number}, the champion")
