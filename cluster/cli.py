"""The command line: `raymill COMMAND SPEC [key=value ...]`. It parses, opens a session, calls a job, reports."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster import reading, remote
from cluster.ending import as_ours
from cluster.grammar import KUBERNETES, SUBMITTED, parse
from cluster.noise import WithoutRemarks
from cluster.output import Output
from cluster.remote import EndedElsewhere
from cluster.stopping import sigterm_as_ctrl_c
from raymill.console import Console
from raymill.errors import InternalError, RaymillError, TrackerError
from raymill.loggable import without_userinfo
from raymill.spec import Spec
from raymill.spec_text import load_spec

_STEPS = ("prepare", "train", "evaluate", "promote")
_WALKS = ("run", *_STEPS)
_WITHOUT_TRACKER = ("prepare", "undeploy")
_SAMPLE_ROWS = 3
_WALK = "jobs.run:walk"
_LOGGER = "raymill"  # of stores that are away, and of what is waited for
Command = Callable[[argparse.Namespace, Console, Output], dict[str, Any]]


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0, or the code of the owner of what went wrong."""
    arguments = parse(argv)
    _make_importable(str(Path.cwd()))
    console, output = Console(), Output(sys.stdout, arguments.command, arguments.json)
    with contextlib.redirect_stdout(sys.stderr if arguments.debug else WithoutRemarks(sys.stderr)):
        try:
            with sigterm_as_ctrl_c(), console.showing(_LOGGER):
                report, code = _command(arguments)(arguments, console, output), 0
        except EndedElsewhere as ended:
            report, code = ended.report, ended.code
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - the last frame: all is ours to explain
            report, code = _explain(as_ours(error), arguments, console)
    output.report(report, code)
    return code


def _make_importable(folder: str) -> None:
    """Lets `model.import` name a module there, here and in the processes that Ray starts; what is installed wins."""
    if not {folder, ""} & set(sys.path):
        sys.path.append(folder)


def _run(spec: Spec, arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    last = "promote" if arguments.no_serve else "deploy"
    if last == "deploy":
        _require_usable(spec, asks=arguments.once)
    with _session(spec, arguments, console, needs_serve=last == "deploy") as session:
        walked = _job(_WALK)(spec, last, console)
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


def _step(spec: Spec, arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    with _session(spec, arguments, console, needs_serve=False):
        report: dict[str, Any] = _job(_WALK)(spec, arguments.command, console).report()
    following = (*_STEPS, "deploy")[_STEPS.index(arguments.command) + 1]
    console.say(f"next:     raymill {following} {_again(arguments)}")
    return report


def _deploy(spec: Spec, arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    if arguments.canary is not None or arguments.shadow is not None:
        return _release(spec, arguments, console)
    _require_usable(spec)
    with _session(spec, arguments, console, needs_serve=True) as session:
        endpoint = _job("jobs.deploy:deploy")(spec, console)
        report = {"endpoint": endpoint.url, "model": {"name": spec.name, "version": int(endpoint.version)}}
        output.report(report)
        _hold(endpoint, spec, session, console)
    return report


def _release(spec: Spec, arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    shadow = arguments.shadow is not None
    release = _job("cluster.releasing:release")(
        spec, console, share=arguments.shadow if shadow else arguments.canary, shadow=shadow
    )
    if arguments.auto:
        with _session(spec, arguments, console, needs_serve=True):
            release = _job("cluster.releasing:follow")(spec, console)
    if release.state == "on":
        console.say(f"next:     raymill release status {_again(arguments)}")
    return {"release": release.model_dump(mode="json")}


def _release_action(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    spec = _load(arguments)
    if arguments.action == "promote":
        from cluster.endpoint import require

        require(spec)
        with _session(spec, arguments, console, needs_serve=True):
            return {"endpoint": _job("cluster.releasing:promote")(spec, console)}
    if arguments.action == "rollback":
        return {"release": _job("cluster.releasing:roll_back")(spec, console).model_dump(mode="json")}
    standing = _job("cluster.releasing:Standing").of(spec)
    if not arguments.json:
        output.text("".join(f"{line}\n" for line in standing.lines()))
    return {"release": standing.release.model_dump(mode="json"), "decision": asdict(standing.decision)}


def _require_usable(spec: Spec, *, asks: bool = False) -> None:
    """Raises what would keep the endpoint from being served, before anything is computed for it."""
    from cluster.exposure import callers_token, require_usable

    require_usable(spec.serve, os.environ)
    if asks:
        callers_token(spec.serve, os.environ)


def _undeploy(spec: Spec, arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    from cluster.endpoint import require

    require(spec)
    with _session(spec, arguments, console, needs_serve=True):
        _take_down(spec, console)
    return {"endpoint": None}


def _take_down(spec: Spec, console: Console) -> None:
    from cluster.endpoint import undeploy

    undeploy(spec, console)


def _predict(spec: Spec, arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    from cluster.reach import require_writable

    require_writable(arguments.output)
    with _session(spec, arguments, console, needs_serve=False):
        predicted = _job("jobs.predict:predict")(spec, arguments.input, arguments.output, console)
    return {"output": predicted.uri, "rows": predicted.rows, "model": {"name": spec.name, "version": predicted.version}}


def _status(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    from cluster.endpoint_record import find
    from raymill.standing import Standing
    from raymill.store import Store

    spec = _load(arguments)
    standing = Standing.of(spec, answers=find(Store(spec.store), spec.name) is not None)
    if not arguments.json:
        output.text(without_userinfo("".join(f"{line}\n" for line in standing.lines())))
    return standing.to_json()


def _clean(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    from raymill.cleaning import clean

    return {"removed": clean(_load(arguments), console)}


def _spec(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    if arguments.action == "schema":
        output.text(json.dumps(Spec.model_json_schema(by_alias=True), indent=1) + "\n")
        return {}
    spec = _load(arguments)
    if arguments.action == "show":
        import yaml

        output.text(yaml.safe_dump(spec.to_json(), sort_keys=False, allow_unicode=True))
    else:
        console.say(f"{arguments.spec} is a spec.\nnext:     raymill run {_again(arguments)}")
    return {}


def _init(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    from raymill.first_spec import write_first_spec

    path = write_first_spec(arguments.data, arguments.target, console)
    console.say(f"next:     raymill run {path}")
    return {"spec": path}


def _load(arguments: argparse.Namespace) -> Spec:
    return load_spec(arguments.spec, arguments.overrides)


@contextlib.contextmanager
def _session(spec: Spec, arguments: argparse.Namespace, console: Console, *, needs_serve: bool) -> Iterator[Any]:
    """An embedded Ray; where this spec's endpoint is live already, the Ray that it runs on.

    The record of an endpoint that ends with an embedded Ray goes before it.
    """
    from cluster.endpoint import find, forget
    from cluster.front import check_port
    from cluster.scratch import sweep
    from cluster.session import choose_address, open_session
    from raymill.store import Store

    store = Store(spec.store)
    live = find(store, spec.name)
    join = live.ray_address if live is not None else None
    if needs_serve and choose_address(join, os.environ) is None:
        sweep()  # of a session that was killed the proxy may have the port still
        check_port(spec.serve.host, spec.serve.port)
    with open_session(
        console,
        needs_serve=needs_serve,
        debug=arguments.debug,
        join=join,
        tls=needs_serve and spec.serve.tls is not None,
        beside=functools.partial(_import, spec),
    ) as session:
        try:
            yield session
        finally:
            if needs_serve and not session.joined:
                forget(store, spec.name, ray_address=session.address)


def _import(spec: Spec) -> None:
    """Imports what every job needs; an import that fails is met again by its job."""
    from raymill.tracking import connect

    assert spec.tracking is not None
    with contextlib.suppress(ImportError, RaymillError):
        importlib.import_module(_WALK.partition(":")[0])
        connect(spec.tracking)
        if spec.train.most_workers > 1:
            importlib.import_module("ray.train.torch")


def _job(name: str) -> Callable[..., Any]:
    """A job's function by its string, so that no arrow runs from the cluster to the jobs."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


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


def _tell_no_endpoint(arguments: argparse.Namespace, champion: Any, console: Console) -> None:
    if champion is None:
        console.say("no endpoint: the gate has promoted no version")
    else:
        console.say(f"next:     raymill deploy {_again(arguments)}")


def _again(arguments: argparse.Namespace) -> str:
    return shlex.join([arguments.spec, *arguments.overrides])


def _command(arguments: argparse.Namespace) -> Command:
    """What carries a command out: here, or on the cluster that it names."""
    if arguments.command in SUBMITTED and arguments.on is not None:
        return _late("cluster.on_kubernetes:submit") if arguments.on == KUBERNETES else remote.submit
    if arguments.command == "release" and arguments.action == "promote" and arguments.on is not None:
        return _late("cluster.kubernetes_release:promote_candidate")  # only what is promoted is deployed
    return _COMMANDS[arguments.command]


def _late(name: str) -> Command:
    """A command by its string, whose module is imported when it is carried out."""
    return lambda arguments, console, output: _job(name)(arguments, console, output)


def _as_job(work: Callable[[Spec, argparse.Namespace, Console, Output], dict[str, Any]]) -> Command:
    """A command that leaves a record of itself in the spec's store, once that has been tried."""

    def command(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
        from cluster.keeping import begin, kept

        spec = _load(arguments)
        unanswered = _reach(spec, arguments)
        words = shlex.join([arguments.command, arguments.spec, *arguments.overrides, *remote.options(arguments)])
        record = begin(spec, arguments.command, words, os.environ)
        with kept(spec, record, console) as report:
            if unanswered is not None:
                raise unanswered
            report |= work(spec, arguments, console, output)
        return report

    return command


def _reach(spec: Spec, arguments: argparse.Namespace) -> TrackerError | None:
    """What keeps the tracker from answering, if the command can't do without it; StoreError for the store.

    Some services make a bucket of any name that is written to, so nothing is written before.
    """
    from cluster.reach import require_reached
    from raymill.run import tracker_is_known
    from raymill.store import Store

    try:
        require_reached(Store(spec.store), None if arguments.command in _WITHOUT_TRACKER else spec.tracking)
    except TrackerError as error:
        return None if arguments.command in _WALKS and tracker_is_known(spec) else error
    return None


_COMMANDS: dict[str, Command] = {
    "run": _as_job(_run),
    **dict.fromkeys(_STEPS, _as_job(_step)),
    "deploy": _as_job(_deploy),
    "undeploy": _as_job(_undeploy),
    "predict": _as_job(_predict),
    "release": _release_action,
    "status": _status,
    "clean": _clean,
    "logs": reading.logs,
    "explain": reading.explain,
    "cancel": remote.cancel,
    "list": reading.list_jobs,
    "spec": _spec,
    "init": _init,
    "k8s": _late("cluster.rendering:render"),
    "token": _late("cluster.new_token:new"),
}


def _explain(error: RaymillError, arguments: argparse.Namespace, console: Console) -> tuple[dict[str, Any], int]:
    if arguments.debug:
        console.say("".join(traceback.format_exception(error)).rstrip())
    console.say(f"error: {error}")
    if isinstance(error, InternalError) and not arguments.debug:
        console.say("(--debug shows the traceback)")
    return {"error": {"what": error.what, "fix": error.fix}}, error.exit_code


if __name__ == "__main__":
    sys.exit(main())
